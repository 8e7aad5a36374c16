"""Pictures come as they are stored, whatever their headers say of the patient."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from monai.transforms import LoadImage
from PIL import Image

from lvm_med_monai.data import StoredReader
from lvm_med_monai.slices import SlicePolicy, Source, extract, read_manifest

PIXELS = np.arange(600, dtype=np.uint16).reshape(20, 30)
"""20 rows of 30 pixels."""
AFFINES = {
    "identity": np.eye(4),
    "as ITK writes": np.diag([-1.0, -1, 1, 1]),
    "mirrored": np.diag([-1.0, 1, 1, 1]),
    "axes swapped": np.eye(4)[[1, 0, 2, 3]],
}


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES.keys())
def test_nifti_is_not_turned(affine, tmp_path):
    nib.save(nib.Nifti1Image(PIXELS.T[:, :, None].astype(np.float32), affine), tmp_path / "a.nii.gz")
    image = LoadImage(reader="lvm_med_monai.data.StoredReader", image_only=True)(str(tmp_path / "a.nii.gz"))
    np.testing.assert_array_equal(image[..., 0], PIXELS.T)


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_have_columns_first(channels, tmp_path):
    pixels = (PIXELS % 256).astype(np.uint8)
    picture = pixels if channels == 1 else np.stack([pixels, pixels // 2, pixels // 3], -1)
    Image.fromarray(picture).save(tmp_path / "a.png")
    image = LoadImage(reader=StoredReader(), ensure_channel_first=True, image_only=True)(str(tmp_path / "a.png"))
    expected = picture.T if channels == 3 else pixels.T[None]
    np.testing.assert_array_equal(np.asarray(image).reshape(expected.shape), expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_extracted_slices_have_columns_first(channels, tmp_path):
    pixels = (PIXELS % 256).astype(np.uint8)
    picture = pixels if channels == 1 else np.stack([pixels, pixels // 2, pixels // 3], -1)
    (tmp_path / "source").mkdir()
    Image.fromarray(picture).save(tmp_path / "source" / "a.png")
    source = Source(tmp_path / "source", split="train")
    extract([source], tmp_path / "slices", SlicePolicy(min_foreground=0, min_size=8), tmp_path / "key", progress=False)
    (name,) = read_manifest(tmp_path / "slices").column("slice_id").to_pylist()
    read = LoadImage(reader=StoredReader(), ensure_channel_first=True, image_only=True)
    image, slice_ = read(str(tmp_path / "source" / "a.png")), read(str(tmp_path / "slices" / name))
    np.testing.assert_array_equal(slice_, image)
    assert slice_.shape == (channels, 30, 20, 1)
