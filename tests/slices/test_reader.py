from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from monai.data import ITKReader, NibabelReader
from monai.transforms import LoadImaged
from PIL import Image

from lvm_med_monai.slices import SliceReader, Stack
from tests.slices.factories import DEMO, dicom_slice, save, series

READER = "lvm_med_monai.slices.SliceReader"


def load(path: Path, reader, **options):
    return LoadImaged(keys="image", reader=reader, image_only=True, **options)({"image": str(path)})["image"]


@pytest.mark.parametrize(
    ("path", "other"),
    [
        ("abdomen_ct_dicom/series", ITKReader),
        ("brain_mr_dicom", ITKReader),
        ("brain_mr_tumour/t1_gd.nrrd", ITKReader),
        ("abdomen_ct/ct.nii.gz", NibabelReader),
        ("chest_ct/ct.nii.gz", NibabelReader),
        ("abdomen_ct_dicom/organs.nii.gz", NibabelReader),
    ],
)
def test_same_values_at_the_same_places_as_monai(path: str, other: type) -> None:
    ours, theirs = load(DEMO / path, READER), load(DEMO / path, other())
    assert ours.shape == theirs.shape
    # index of ours -> index of theirs must be a permutation with flips, and carry each value along
    change = np.linalg.inv(theirs.affine.numpy()) @ ours.affine.numpy()
    assert np.allclose(np.abs(change[:3, :3]), np.eye(3), atol=2e-3)
    flipped = [axis for axis in range(3) if change[axis, axis] < 0]
    corner = [ours.shape[axis] - 1 if axis in flipped else 0 for axis in range(3)]
    assert np.allclose(change[:3, 3], corner, atol=0.02)
    assert np.array_equal(np.flip(theirs.numpy(), flipped), ours.numpy())
    assert ours.dtype == theirs.dtype
    for key in ("space", "original_channel_dim"):
        assert np.array_equal(ours.meta[key], theirs.meta[key], equal_nan=key != "space") or key == "space"
    assert ours.meta["space"] == "RAS"
    assert tuple(ours.meta["spatial_shape"]) == tuple(ours.shape)
    assert np.allclose(ours.meta["original_affine"], ours.affine)


def test_lps_on_request() -> None:
    array, meta = SliceReader(affine_lps_to_ras=False).get_data(SliceReader().read(DEMO / "brain_mr_dicom"))
    assert array.shape == (256, 256, 19)
    assert meta["space"] == "LPS"
    assert np.allclose(meta["affine"][:3, 3], [-110.5, -79.3063, -65.7575])


def chosen(reader: SliceReader, path) -> Stack:
    return reader.choose(reader.read(path))


def test_several_series_are_listed(tmp_path: Path) -> None:
    series(tmp_path, 3)
    series(tmp_path, 5, lambda i: {"SeriesInstanceUID": "1.9"}, "b")
    # LoadImaged must not fall back to a reader that takes the first series
    with pytest.raises(ValueError, match=r"holds 2 stacks:\n  0: CT, 3 slices of 40 x 48(.|\n)*series=INDEX"):
        load(tmp_path, READER)
    assert chosen(SliceReader(series=1), tmp_path).n_slices == 5
    assert load(tmp_path, READER, series="largest").shape == (48, 40, 5)
    with pytest.raises(ValueError, match="has no stack 2"):
        load(tmp_path, READER, series=2)


def test_list_of_files(tmp_path: Path) -> None:
    paths = series(tmp_path, 5)
    assert chosen(SliceReader(), paths[1:4]).n_slices == 3


def test_picture(tmp_path: Path) -> None:
    Image.fromarray(np.arange(60, dtype=np.uint8).reshape(4, 5, 3)).save(tmp_path / "a.png")
    array, meta = SliceReader().get_data(SliceReader().read(tmp_path / "a.png"))
    assert array.shape == (5, 4, 1, 3)
    assert array[1, 0, 0].tolist() == [3, 4, 5]
    assert meta["original_channel_dim"] == -1
    assert load(tmp_path / "a.png", READER, ensure_channel_first=True).shape == (3, 5, 4, 1)


def test_pixels_that_are_not_finite(tmp_path: Path) -> None:
    volume = np.arange(24, dtype=np.float32).reshape(4, 3, 2) + np.float32(0.5)
    volume[0, 0, 0], volume[1, 0, 0], volume[:, :, 1] = np.nan, np.inf, np.nan
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / "a.nii")
    array, meta = SliceReader().get_data(SliceReader().read(tmp_path / "a.nii"))
    assert np.isfinite(array).all()
    first, second = array[..., 0], array[..., 1]
    lowest = np.nanmin(volume[..., 0])
    assert np.sort(first.ravel()).tolist() == [lowest] * 3 + sorted(
        v for v in volume[..., 0].ravel() if lowest < v < 99
    )
    assert not second.any()
    assert "nan" in meta["flags"]
    good = SliceReader().get_data(SliceReader().read(DEMO / "brain_mr_tumour" / "t1_gd.nrrd"))[1]
    assert "nan" not in good["flags"]


def test_faults(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ValueError, match=r"holds no readable slices \(unrecognised"):
        load(tmp_path, READER)
    with pytest.raises(ValueError, match='an index or "largest"'):
        SliceReader(series="smallest")
    save(dicom_slice(0), tmp_path / "a.dcm")
    with pytest.raises(ValueError, match="takes no arguments when reading, got mmap"):
        SliceReader().read(tmp_path, mmap=True)
    assert not SliceReader().verify_suffix(tmp_path / "absent")
