from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Invertd

from lvm_med_monai.transforms import PixelSpacingd

LPI = np.array([[-2.0, 0, 0, 30], [0, -1.0, 0, 20], [0, 0, -5.0, 40], [0, 0, 0, 1]])


def volume(affine=LPI, shape=(16, 20, 6)):
    coarse = torch.rand(1, 1, *[size // 2 for size in shape])
    smooth = torch.nn.functional.interpolate(coarse, size=shape, mode="trilinear")
    return MetaTensor(smooth[0], affine=torch.tensor(affine))


def test_axes_run_to_ras_with_square_pixels_and_slices_as_they_were():
    found = PixelSpacingd("image", pixel_mm=1.0)({"image": volume()})["image"]
    np.testing.assert_allclose(found.affine[:3, :3], np.diag([1, 1, 5]), atol=1e-6)
    assert found.shape == (1, 31, 20, 6)


def test_the_same_anatomy_stored_otherwise_gives_the_same_grid():
    image = volume()
    turned = np.eye(4)[[1, 0, 2, 3]]
    swapped = MetaTensor(image.as_tensor().transpose(1, 2), affine=torch.tensor(LPI @ turned))
    one, other = (PixelSpacingd("image", pixel_mm=1.5)({"image": item})["image"] for item in (image, swapped))
    torch.testing.assert_close(one.affine, other.affine)
    torch.testing.assert_close(one.as_tensor(), other.as_tensor())


def test_the_inverse_goes_back_to_the_grid_of_the_file():
    transform = Compose([PixelSpacingd("image", pixel_mm=1.0)])
    image = volume()
    item = transform({"image": image})
    item["pred"] = MetaTensor(item["image"].clone())
    found = Invertd("pred", transform, orig_keys="image", nearest_interp=False)(item)["pred"]
    assert found.shape == image.shape
    torch.testing.assert_close(found.affine, image.affine)
    assert (found - image).abs().mean() < 0.01


def test_keys_that_only_look_alike_are_left_alone():
    item = PixelSpacingd("image", pixel_mm=1.0)({"image": volume(), "image_path": "a.nii.gz"})
    assert item["image_path"] == "a.nii.gz"


def test_a_pixel_has_a_size():
    with pytest.raises(ValueError, match="a distance in mm, got 0"):
        PixelSpacingd("image", pixel_mm=0)
