from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings, strategies as st

from lvm_med_monai.transforms import IMAGENET_MEAN, IMAGENET_STD, CropGeometry, MultiView, ViewPolicy
from lvm_med_monai.transforms.views import cut, gaussian_blur

PLAIN = {"jitter": 0.0, "saturation": 0.0, "blur": 0.0, "noise": 0.0}


def unnormalised(views):
    return views * torch.tensor(IMAGENET_STD)[:, None, None] + torch.tensor(IMAGENET_MEAN)[:, None, None]


def coordinate_image(size=64):
    """An image that tells, in its first two channels, the (y, x) of every pixel centre in [0, 1]."""
    centres = (torch.arange(size) + 0.5) / size
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    return torch.stack([y, x, torch.zeros_like(y)])


@given(seed=st.integers(0, 10_000), rows=st.integers(1, 9), columns=st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_positions_are_where_the_pixels_come_from(seed, rows, columns):
    """The image holds its own coordinates, so a crop's content must equal its recorded positions, mirrored or not."""
    views = MultiView(ViewPolicy(size=32, flip=0.5, **PLAIN), seed=seed)(coordinate_image()[None].repeat(3, 1, 1, 1))
    seen = torch.nn.functional.adaptive_avg_pool2d(unnormalised(views.images)[:, :2], (rows, columns))
    exact = torch.nn.functional.adaptive_avg_pool2d(
        cut(coordinate_image()[None].repeat(6, 1, 1, 1), views.crops, 32)[:, :2], (rows, columns)
    )
    torch.testing.assert_close(seen, exact, atol=1e-5, rtol=0)
    if 32 % rows == 0 and 32 % columns == 0:
        recorded = views.crops.positions(rows, columns).permute(0, 3, 1, 2)
        torch.testing.assert_close(seen, recorded, atol=6e-3, rtol=0)


def test_a_flip_mirrors_columns_and_leaves_rows():
    box = torch.tensor([[0.1, 0.2, 0.5, 0.4]])
    straight = CropGeometry(box, torch.tensor([False])).positions(2, 4)
    mirrored = CropGeometry(box, torch.tensor([True])).positions(2, 4)
    torch.testing.assert_close(mirrored, straight.flip(2))
    torch.testing.assert_close(straight[0, 0, :, 1], torch.tensor([0.25, 0.35, 0.45, 0.55]))
    torch.testing.assert_close(straight[0, :, 0, 0], torch.tensor([0.225, 0.475]))


def test_the_whole_image_without_augmentation_is_the_image():
    image = torch.rand(2, 3, 32, 32)
    views = MultiView(ViewPolicy(size=32, area=(1, 1), aspect=1, flip=0, **PLAIN), n_views=1)(image)
    torch.testing.assert_close(unnormalised(views.images), image, atol=1e-4, rtol=0)


def test_grey_images_stay_grey_however_strong_the_jitter():
    grey = torch.rand(8, 1, 32, 32)
    views = unnormalised(MultiView(ViewPolicy(size=24, noise=0, saturation=1.0, jitter=0.9))(grey).images)
    torch.testing.assert_close(views[:, 0], views[:, 1], atol=1e-5, rtol=0)
    same = unnormalised(
        MultiView(ViewPolicy(size=24, noise=0, saturation=1.0, jitter=0.9))(grey.expand(-1, 3, -1, -1)).images
    )
    torch.testing.assert_close(views, same, atol=1e-4, rtol=0)


def test_crops_cover_the_share_of_the_policy_and_stay_inside():
    crops = MultiView(ViewPolicy(size=8, area=(0.4, 0.9)))(torch.rand(500, 1, 8, 8)).crops
    top, left, height, width = crops.box.unbind(1)
    assert ((top >= 0) & (left >= 0) & (top + height <= 1 + 1e-6) & (left + width <= 1 + 1e-6)).all()
    assert (height * width <= 0.9 + 1e-6).all()
    assert 0.3 < crops.flipped.float().mean() < 0.7


def test_same_seed_same_views_and_the_state_can_be_taken_up_again():
    images = torch.rand(4, 1, 16, 16)
    first, second = MultiView(ViewPolicy(size=16), seed=5), MultiView(ViewPolicy(size=16), seed=5)
    assert torch.equal(first(images).images, second(images).images)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(images).images, second(images).images)
    assert not torch.equal(first(images).images, MultiView(ViewPolicy(size=16), seed=6)(images).images)


def test_views_follow_each_other_and_differ():
    source, target = MultiView(ViewPolicy(size=16))(torch.rand(3, 1, 16, 16)).images.chunk(2)
    assert source.shape == target.shape == (3, 3, 16, 16)
    assert not torch.allclose(source, target)


def test_blur_keeps_the_mean_of_a_constant_and_spreads_a_point():
    assert torch.allclose(gaussian_blur(torch.full((1, 2, 6, 6), 0.3)), torch.tensor(0.3))
    point = torch.zeros(1, 1, 9, 9)
    point[..., 4, 4] = 1
    spread = gaussian_blur(point)
    assert spread.sum().item() == pytest.approx(1, abs=1e-5)
    assert spread[0, 0, 4, 4] == spread.max()


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": 0},
        {"area": (0, 1)},
        {"area": (0.9, 0.4)},
        {"aspect": 0.5},
        {"flip": 1.5},
        {"jitter": 1.0},
        {"blur": -1},
        {"noise": -0.1},
    ],
    ids=str,
)
def test_values_out_of_range_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ViewPolicy(**wrong)


@pytest.mark.parametrize("shape", [(3, 32, 32), (2, 4, 32, 32)], ids=str)
def test_wrong_batches_are_refused(shape):
    with pytest.raises(ValueError, match=r"shape \(B, 1 or 3, H, W\), got"):
        MultiView(ViewPolicy())(torch.zeros(shape))
