"""Every segmentation bundle's own transforms and inferer, with a known network, on the kind of series it is for."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest

from lvm_med_monai.apps.deploy.complete_series import complete_series
from lvm_med_monai.apps.deploy.loading import load_model
from lvm_med_monai.apps.deploy.output import write_results
from lvm_med_monai.apps.deploy.series import read_series
from lvm_med_monai.apps.deploy.tasks import TASKS
from tests.apps.deploy.reading import dice, validate
from tests.apps.deploy.real_bundles import known_bundle, names, scene_for
from tests.apps.deploy.scenes import SCENES, Scene
from tests.slices.factories import DEMO

KINDS = {
    "whole_heart_ct_segmentation": ["ct_oblique", "ct_j2k", "ct_gap", "ct_single_slice"],
    "prostate_mri_segmentation": ["mr_oblique", "mr_j2k", "mr_enhanced"],
    "coronary_vessel_angiography_segmentation": ["cr_j2k", "xa_cine"],
    "breast_lesion_ultrasound_segmentation": ["us_rgb_j2k", "us_cine"],
}
"""One bundle for each format of inputs, on the kinds of series that others than its plain one bring."""


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name, kinds in KINDS.items() for kind in kinds])
def test_one_bundle_of_each_format_serves_every_kind(name: str, kind: str, tmp_path: Path) -> None:
    scene = SCENES[kind](tmp_path / "series")
    images = read_series(scene.folder)
    model = load_model(known_bundle(name, tmp_path / "bundle", scene))
    headers = [header for image in images for header in image.headers.values()]
    paths = write_results(TASKS["segmentation"](images, model), headers, tmp_path / "out")
    for path in paths:
        validate(path)
    assert dice(paths, scene.truth) >= 0.95


def test_organ_bundle_on_the_real_ct(tmp_path: Path) -> None:
    """Real noise in JPEG 2000; the network marks what is brighter than the middle of the bundle's window, 40 HU."""
    scene = Scene(tmp_path / "series")
    for file in complete_series(DEMO / "abdomen_ct_dicom" / "series", scene.folder):
        dataset = pydicom.dcmread(file)
        scene.truth[dataset.SOPInstanceUID, 1] = dataset.pixel_array * 1.0 - 1024 > 40
    images = read_series(scene.folder)
    model = load_model(known_bundle("abdominal_organ_ct_segmentation", tmp_path / "bundle", scene))
    paths = write_results(TASKS["segmentation"](images, model), list(images[0].headers.values()), tmp_path / "out")
    validate(paths[0], "needed to build DICOMDIR")  # PatientID and StudyID are blank
    assert dice(paths, scene.truth) >= 0.95


@pytest.mark.parametrize("name", names("segmentation"))
def test_transforms_of_a_segmentation_lead_there_and_back(name: str, tmp_path: Path) -> None:
    scene = scene_for(name, tmp_path / "series")
    images = read_series(scene.folder)
    model = load_model(known_bundle(name, tmp_path / "bundle", scene))
    (path,) = write_results(TASKS["segmentation"](images, model), list(images[0].headers.values()), tmp_path / "out")
    validate(path)
    assert dice([path], scene.truth) >= 0.95
