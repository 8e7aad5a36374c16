"""Every segmentation bundle's own transforms and inferer, with a known network, on the kind of series it is for."""

from __future__ import annotations

from pathlib import Path

import pytest

from lvm_med_monai.apps.deploy.model import load_model
from lvm_med_monai.apps.deploy.output import write_results
from lvm_med_monai.apps.deploy.series import read_series
from lvm_med_monai.apps.deploy.tasks import TASKS
from tests.apps.deploy.reading import dice, validate
from tests.apps.deploy.real_bundles import known_bundle, names, scene_for


@pytest.mark.parametrize("name", names("segmentation"))
def test_transforms_of_a_segmentation_lead_there_and_back(name: str, tmp_path: Path) -> None:
    scene = scene_for(name, tmp_path / "series")
    images = read_series(scene.folder)
    model = load_model(known_bundle(name, tmp_path / "bundle", scene))
    (path,) = write_results(TASKS["segmentation"](images, model), list(images[0].headers.values()), tmp_path / "out")
    validate(path)
    assert dice([path], scene.truth) >= 0.95
