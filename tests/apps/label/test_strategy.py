"""The slice that active learning names is the one that clients find in the file."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from lvm_med_monai.apps.label.server.datastore import StudiesDatastore
from lvm_med_monai.apps.label.server.infer import BundleTask
from lvm_med_monai.apps.label.server.strategy import DiverseUncertain
from tests.apps.label.known import brighter_than_half, four_means

CT = "abdominal_organ_ct_segmentation"
UNSURE, SLICES = 2, 9


@pytest.fixture(scope="module")
def strategy(tmp_path_factory: pytest.TempPathFactory) -> DiverseUncertain:
    folder = tmp_path_factory.mktemp("bundles")
    return DiverseUncertain(four_means(folder), {CT: BundleTask(brighter_than_half(folder, CT), {})})


@pytest.mark.parametrize("across", [1, -1], ids=["as read", "other way round"])
@pytest.mark.parametrize("axis", [0, 1, 2], ids=["first", "middle", "last"])
def test_the_slice_is_one_of_the_file(strategy: DiverseUncertain, tmp_path: Path, axis: int, across: int) -> None:
    values = np.full((24, 20, SLICES), -1000, dtype=np.float32)
    values[..., UNSURE] = np.linspace(-300, 300, 24)[:, None]
    order = [place for place in range(3) if place != axis]
    turn = np.array([[order[0], 1], [order[1], 1], [axis, across]])
    image = nibabel.Nifti1Image(values, np.diag([1.0, 1.0, 5.0, 1.0])).as_reoriented(turn)
    nibabel.save(image, tmp_path / "a.nii.gz")
    chosen = strategy({"model": CT, "device": "cpu"}, StudiesDatastore(str(tmp_path), extensions=("*.nii.gz",)))
    assert chosen is not None
    assert (chosen["id"], chosen["axis"]) == ("a", axis)
    assert np.ptp(np.asarray(image.dataobj).take(chosen["slice"], axis)) > 500
    assert chosen["slice"] == (UNSURE if across > 0 else SLICES - 1 - UNSURE)
