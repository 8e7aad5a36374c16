from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from lvm_med_monai.data import label_table, read_datalist
from lvm_med_monai.data.grids import grid_of

DATA = Path(__file__).resolve().parents[2] / "demo_data"
AFFINE = np.array([[2.0, 0, 0, -10], [0, 3.0, 0, 5], [0, 0, 4.0, 7], [0, 0, 0, 1]])
SHIFTED = AFFINE + np.outer([1, 0, 0, 0], [0, 0, 0, 1])


def save(path, shape=(6, 5, 4), affine=AFFINE):
    nib.save(nib.Nifti1Image(np.zeros(shape, np.int16), affine), path)
    return path


def flipped(affine, axis, size):
    """Affine of the same voxels stored backwards along an axis."""
    change = np.eye(4)
    change[axis, axis], change[axis, 3] = -1, size - 1
    return affine @ change


def datalist(folder, **sections):
    (folder / "dataset.json").write_text(json.dumps(sections))
    return folder


def test_pairs_come_back_as_paths(tmp_path):
    save(tmp_path / "a.nii.gz")
    save(tmp_path / "b.nii.gz")
    root = datalist(tmp_path, training=[{"image": "a.nii.gz", "label": "b.nii.gz"}])
    assert read_datalist(root, "training") == [
        {"image": str(tmp_path / "a.nii.gz"), "label": str(tmp_path / "b.nii.gz")}
    ]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_mask_stored_backwards_lies_on_the_same_grid(tmp_path, axis):
    image = save(tmp_path / "a.nii.gz")
    mask = save(tmp_path / "b.nii.gz", affine=flipped(AFFINE, axis, (6, 5, 4)[axis]))
    assert grid_of(image).fits(grid_of(mask))
    assert grid_of(image).voxels == (6, 5, 4)


def test_a_mask_with_exchanged_axes_lies_on_the_same_grid(tmp_path):
    image = save(tmp_path / "a.nii.gz")
    mask = save(tmp_path / "b.nii.gz", shape=(5, 6, 4), affine=AFFINE[:, [1, 0, 2, 3]])
    assert grid_of(image).fits(grid_of(mask))


@pytest.mark.parametrize(
    ("shape", "affine"),
    [((6, 5, 3), AFFINE), ((6, 5, 4), SHIFTED), ((6, 5, 4), AFFINE @ np.diag([1.5, 1, 1, 1]))],
    ids=["fewer slices", "shifted by 1 mm", "other voxel size"],
)
def test_a_mask_on_another_grid_is_refused(tmp_path, shape, affine):
    save(tmp_path / "a.nii.gz")
    save(tmp_path / "b.nii.gz", shape, affine)
    root = datalist(tmp_path, training=[{"image": "a.nii.gz", "label": "b.nii.gz"}])
    with pytest.raises(
        ValueError, match=r"mask b.nii.gz does not lie on the grid of a.nii.gz: the mask has \d+ x 5 x \d voxels"
    ):
        read_datalist(root, "training")


def test_the_demos_dicom_series_and_its_mask_fit_though_stored_differently():
    scan = DATA / "abdomen_ct_dicom"
    series, mask = grid_of(scan / "series"), grid_of(scan / "organs.nii.gz")
    assert series.voxels == (512, 512, 20)
    assert series.fits(mask)


def test_a_folder_with_two_series_is_refused(tmp_path):
    save(tmp_path / "a.nii.gz")
    save(tmp_path / "b.nii.gz")
    with pytest.raises(ValueError, match="holds 2 volumes, expected one"):
        grid_of(tmp_path)


def test_missing_things_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no datalist dataset.json in"):
        read_datalist(tmp_path, "training")
    datalist(tmp_path, training=[{"image": "absent.nii.gz"}], test=[])
    with pytest.raises(FileNotFoundError, match=r"absent.nii.gz, which does not exist"):
        read_datalist(tmp_path, "training")
    for section in ("validation", "test"):
        with pytest.raises(ValueError, match=rf"no section '{section}' with entries: it has \['test', 'training'\]"):
            read_datalist(tmp_path, section)


@pytest.mark.parametrize("structures", [[0], [3, 3], [256], [-1]], ids=str)
def test_label_tables_refuse_impossible_structures(structures):
    with pytest.raises(ValueError, match="different ids of 1 to 255"):
        label_table(structures)
