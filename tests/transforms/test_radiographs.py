from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from lvm_med_monai.transforms import ShorterSided


def resized(image, size, **settings):
    return ShorterSided("image", size, **settings)({"image": image})["image"]


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [((1, 30, 20), 10, (1, 15, 10)), ((3, 20, 41), 10, (3, 10, 20)), ((1, 7, 7), 14, (1, 14, 14))],
    ids=["tall", "wide and odd", "enlarged"],
)
def test_the_shorter_side_gets_its_length_and_the_aspect_stays(shape, size, expected):
    assert resized(torch.rand(shape), size).shape == expected


def test_without_smoothing_it_is_the_cubic_spline_within_the_range_of_the_image():
    image = torch.rand(1, 24, 16, dtype=torch.float64)
    reference = ndimage.zoom(image[0].numpy(), 0.5, order=3, mode="nearest", grid_mode=True)
    expected = np.clip(reference, image.min(), image.max())
    np.testing.assert_allclose(resized(image, 8, smooth=False)[0], expected)


def test_smoothing_removes_what_the_smaller_grid_cannot_hold():
    board = (torch.arange(64)[:, None] + torch.arange(64)) % 2
    image = board.float()[None]
    assert resized(image, 16).std() < 0.01


def test_a_ramp_stays_a_ramp_and_a_constant_a_constant():
    ramp = torch.linspace(0, 1, 64).expand(1, 64, 64)
    inner = resized(ramp, 16, smooth=False)[0, 4, 2:-2]
    torch.testing.assert_close(inner.diff(), torch.full((11,), 4 / 63), atol=1e-3, rtol=0)
    assert torch.equal(resized(torch.full((1, 9, 9), 0.25), 3), torch.full((1, 3, 3), 0.25))


def test_an_image_without_channels_is_refused():
    with pytest.raises(ValueError, match=r"shape \(C, H, W\), got \(4, 4\)"):
        resized(torch.rand(4, 4), 2)
