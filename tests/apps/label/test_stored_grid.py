"""Masks come back on the voxels of their file, whatever order of axes they were computed in."""

from __future__ import annotations

from itertools import permutations, product
from pathlib import Path

import nibabel
import numpy as np
import pytest
from nibabel.orientations import apply_orientation, inv_ornt_aff
from PIL import Image

from lvm_med_monai.apps.label.stored_grid import onto_stored_grid, stored_affine, stored_slice
from lvm_med_monai.slices import SliceReader

STORED = np.array([[1.2, 0.1, 0, -30], [-0.1, 1.5, 0.2, 12], [0, -0.2, 3, 5], [0, 0, 0, 1]])
MASK = np.arange(3 * 4 * 5).reshape(3, 4, 5)


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_every_turn_of_axes_is_undone(order: tuple[int, ...]) -> None:
    for flips in product([1, -1], repeat=3):
        turn = np.column_stack([order, flips]).astype(float)
        computed = apply_orientation(MASK, turn)
        affine = STORED @ inv_ornt_aff(turn, MASK.shape)
        mask, back = onto_stored_grid(computed, affine, STORED)
        np.testing.assert_array_equal(mask, MASK)
        np.testing.assert_allclose(back, STORED)


def test_a_single_slice_may_have_any_thickness() -> None:
    thin = STORED.copy()
    thin[:3, 2] /= 3
    mask, affine = onto_stored_grid(MASK[..., :1], thin, STORED)
    np.testing.assert_array_equal(mask, MASK[..., :1])
    np.testing.assert_allclose(affine, STORED)


@pytest.mark.parametrize(
    "change", [np.diag([2.0, 1, 1, 1]), np.array([[1, 0, 0, 4], *np.eye(4)[1:]])], ids=["size", "place"]
)
def test_another_grid_is_an_error(change: np.ndarray) -> None:
    with pytest.raises(ValueError, match="another grid"):
        onto_stored_grid(MASK, STORED @ change, STORED)


def test_a_picture_keeps_two_axes() -> None:
    mask, _ = onto_stored_grid(MASK[..., :1], np.eye(4), None)
    np.testing.assert_array_equal(mask, MASK[..., 0])


def test_affines_of_files(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(MASK.astype(np.int16), STORED), tmp_path / "a.nii.gz")
    np.testing.assert_allclose(stored_affine(tmp_path / "a.nii.gz"), STORED, atol=1e-5)
    Image.fromarray(np.zeros((4, 5), np.uint8)).save(tmp_path / "b.PNG")
    assert stored_affine(tmp_path / "b.PNG") is None


def test_the_affine_of_an_nrrd_file(tmp_path: Path) -> None:
    itk = pytest.importorskip("itk")
    image = itk.image_from_array(MASK.astype(np.int16))
    image.SetSpacing([1.0, 2.0, 3.0])
    image.SetOrigin([10.0, 20.0, 30.0])
    itk.imwrite(image, str(tmp_path / "c.nrrd"))
    expected = np.diag([-1.0, -2.0, 3.0, 1.0])
    expected[:3, 3] = [-10, -20, 30]
    np.testing.assert_allclose(stored_affine(tmp_path / "c.nrrd"), expected)


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
@pytest.mark.parametrize("flips", list(product([1, -1], repeat=3)), ids=str)
def test_a_slice_is_found_in_the_file(tmp_path: Path, order: tuple[int, ...], flips: tuple[int, ...]) -> None:
    values = np.zeros((12, 14, 6), np.float32)
    values[..., 1] = 100
    image = nibabel.Nifti1Image(values, np.diag([1.0, 1.0, 5.0, 1.0])).as_reoriented(np.column_stack([order, flips]))
    nibabel.save(image, tmp_path / "a.nii.gz")
    reader = SliceReader()
    read, meta = reader.get_data(reader.read(tmp_path / "a.nii.gz"))
    bright = int(read.mean(axis=(0, 1)).argmax())
    axis, index = stored_slice(bright, read.shape[2], meta["affine"], stored_affine(tmp_path / "a.nii.gz"))
    assert image.shape[axis] == 6
    assert np.asarray(image.dataobj).take(index, axis).min() == 100


def test_a_picture_is_its_only_slice() -> None:
    assert stored_slice(0, 1, np.eye(4), None) == (2, 0)
