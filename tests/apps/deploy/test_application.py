"""The applications through the App SDK's scheduler and by their commands."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from highdicom.seg import segread
from highdicom.sr import srread

from lvm_med_monai.apps.deploy.class_codes import concept
from lvm_med_monai.apps.deploy.command import main
from lvm_med_monai.apps.deploy.complete_series import complete_series
from lvm_med_monai.apps.deploy.loading import load_model
from tests.apps.deploy.known import classifier_bundle, detector_bundle, threshold_bundle
from tests.apps.deploy.reading import dice, validate
from tests.apps.deploy.real_bundles import demo_bundle, known_bundle, names, scene_for
from tests.apps.deploy.scenes import SCENES, volume
from tests.apps.deploy.test_headers import series_with
from tests.apps.deploy.test_series import BAD
from tests.slices.factories import DEMO

pytestmark = pytest.mark.skipif(
    find_spec("holoscan") is None,
    reason="MONAI Deploy's App SDK is missing: it needs a venv of its own, see requirements/deploy.txt",
)
FORMATS = {"ct": "hounsfield", "mr": "magnitude", "cr": "gray", "xa": "gray", "us": "rgb"}


def run(task: str, source: Path, bundle: Path, output: Path, *more: str) -> int:
    return main(task, ["-i", str(source), "-m", str(bundle), "-o", str(output), *more])


@pytest.mark.parametrize("name", SCENES)
def test_segmentation_of_every_kind_of_series(name: str, tmp_path: Path) -> None:
    scene = SCENES[name](tmp_path / "series")
    assert (
        run("segmentation", scene.folder, threshold_bundle(tmp_path / "bundle", FORMATS[name[:2]]), tmp_path / "out")
        == 0
    )
    paths = sorted((tmp_path / "out").iterdir())
    for path in paths:
        validate(path)
    assert dice(paths, scene.truth) >= 0.999


def test_demo_ct_is_segmented_on_its_slices(tmp_path: Path) -> None:
    """Real CT: JPEG 2000, identifiers blanked; what is brighter than 50 HU is known from its own pixels."""
    series = tmp_path / "series"
    complete_series(DEMO / "abdomen_ct_dicom" / "series", series)
    assert run("segmentation", series, threshold_bundle(tmp_path / "bundle", resample=False), tmp_path / "out") == 0
    (path,) = (tmp_path / "out").iterdir()
    validate(path, "needed to build DICOMDIR")  # PatientID and StudyID are blank
    truth = {}
    for file in series.iterdir():
        dataset = pydicom.dcmread(file)
        truth[dataset.SOPInstanceUID, 1] = dataset.pixel_array * 1.0 - 1024 > 50
    assert dice([path], truth) >= 0.999


def test_demo_mr_is_segmented_on_its_slices(tmp_path: Path) -> None:
    source = DEMO / "brain_mr_dicom"
    assert (
        run("segmentation", source, threshold_bundle(tmp_path / "bundle", "magnitude", level=200), tmp_path / "out")
        == 0
    )
    (path,) = (tmp_path / "out").iterdir()
    validate(path, "Illegal root for UID = <0.0.0.0")  # those of its files
    datasets = [pydicom.dcmread(file) for file in source.iterdir()]
    assert dice([path], {(item.SOPInstanceUID, 1): item.pixel_array > 200 for item in datasets}) >= 0.95  # resampled


def test_classes_and_boxes_become_reports(tmp_path: Path) -> None:
    scene = SCENES["us_cine"](tmp_path / "series")
    assert run("classification", scene.folder, classifier_bundle(tmp_path / "c", False), tmp_path / "classes") == 0
    assert run("detection", scene.folder, detector_bundle(tmp_path / "d"), tmp_path / "boxes") == 0
    (classes,), (boxes,) = (list((tmp_path / name).iterdir()) for name in ("classes", "boxes"))
    validate(classes)
    validate(boxes)
    groups = srread(classes).content.get_image_measurement_groups()
    assert [group.get_qualitative_evaluations()[0].value for group in groups] == [concept("dark")] * 4
    regions = srread(boxes).content.get_planar_roi_measurement_groups()
    for (_, frame), mask in scene.truth.items():
        rows, columns = np.nonzero(mask)
        assert regions[frame - 1].roi.value.max(axis=0).tolist() == [columns.max() + 1, rows.max() + 1]


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_a_message_a_status_and_no_file(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make: Callable[[Path], object] = BAD[name][0]
    (tmp_path / "series").mkdir()
    make(tmp_path / "series")
    assert run("segmentation", tmp_path / "series", threshold_bundle(tmp_path / "bundle"), tmp_path / "out") == 1
    assert not (tmp_path / "out").exists()
    error = capfd.readouterr().err
    assert error.startswith("error: ")
    assert "Traceback" not in error


def test_a_bundle_without_weights_is_a_message_a_status_and_no_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bundle = threshold_bundle(tmp_path / "bundle")
    (bundle / "models" / "model.pt").unlink()
    assert run("segmentation", volume(tmp_path / "ct").folder, bundle, tmp_path / "out") == 1
    assert not (tmp_path / "out").exists()
    assert "has no weights" in capfd.readouterr().err


def test_values_of_the_patient_stay_off_the_error_stream(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    values = {"PatientName": b"Doe", "PatientBirthDate": b"1970-01-02", "StudyTime": b"10:11:12"}
    source = series_with(tmp_path / "series", **values)
    assert run("segmentation", source, threshold_bundle(tmp_path / "bundle"), tmp_path / "out") == 0
    expected = "note: PatientBirthDate is left out of results, as DICOM does not allow the source's value\n"
    assert capfd.readouterr().err == expected


def test_a_network_that_returns_no_numbers_is_a_message_a_status_and_no_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bundle = threshold_bundle(tmp_path / "bundle")
    weights = {"weight": torch.full((2, 1, 1, 1), torch.nan), "bias": torch.zeros(2)}
    torch.save(weights, bundle / "models" / "model.pt")
    assert run("segmentation", volume(tmp_path / "ct").folder, bundle, tmp_path / "out") == 1
    assert not (tmp_path / "out").exists()
    error = capfd.readouterr().err
    assert error.startswith("error: the network of bundle bundle returned values that are not finite")


def command(name: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"lvm_med_monai.apps.deploy.{name}", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.mark.slow
def test_command_prints_its_files_and_takes_the_paths_of_a_package(tmp_path: Path) -> None:
    scene = volume(tmp_path / "series")
    threshold_bundle(tmp_path / "models" / "bundle")
    paths = {
        "HOLOSCAN_INPUT_PATH": str(scene.folder),
        "HOLOSCAN_MODEL_PATH": str(tmp_path / "models"),
        "HOLOSCAN_OUTPUT_PATH": str(tmp_path / "out"),
    }
    ended = command("slice_segmentation", **paths)
    assert ended.returncode == 0, ended.stderr
    printed = [Path(line) for line in ended.stdout.splitlines()]
    assert printed == list((tmp_path / "out").iterdir())
    assert segread(printed[0]).SegmentSequence[0].SegmentLabel == "tumor"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["classification", "detection"])
def test_commands_refuse_an_empty_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    bundle = threshold_bundle(tmp_path / "bundle")
    ended = command(name, "-i", str(tmp_path / "empty"), "-m", str(bundle), "-o", str(tmp_path / "out"))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "error: " in ended.stderr
    assert "holds no files" in ended.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", names("segmentation"))
def test_every_segmentation_bundle_is_served(name: str, tmp_path: Path) -> None:
    """With a known network through its own transforms, and with its own network of random weights."""
    scene = scene_for(name, tmp_path / "series")
    assert run("segmentation", scene.folder, known_bundle(name, tmp_path / "known", scene), tmp_path / "masks") == 0
    masks = list((tmp_path / "masks").iterdir())
    validate(masks[0])
    assert dice(masks, scene.truth) >= 0.95
    bundle = demo_bundle(name, tmp_path / "demo")
    assert run("segmentation", scene.folder, bundle, tmp_path / "out") == 0
    (path,) = (tmp_path / "out").iterdir()
    validate(path)
    assert [item.SegmentLabel for item in segread(path).SegmentSequence] == list(load_model(bundle).class_names[1:])


@pytest.mark.parametrize(
    ("task", "name"), [(task, name) for task in ("classification", "detection") for name in names(task)]
)
def test_every_other_bundle_is_served(task: str, name: str, tmp_path: Path) -> None:
    bundle, scene = demo_bundle(name, tmp_path / "bundle"), scene_for(name, tmp_path / "series")
    assert run(task, scene.folder, bundle, tmp_path / "out") == 0
    (path,) = (tmp_path / "out").iterdir()
    validate(path)
    groups = srread(path).content.get_image_measurement_groups()
    assert len(groups) == len(scene.truth)
