from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import NormalizeIntensity

from lvm_med_monai.transforms import ThreeChannelsd


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 2)], ids=["picture", "volume"])
def test_grey_is_repeated_and_colour_stays(shape):
    grey, colour = torch.rand(1, *shape), torch.rand(3, *shape)
    found = ThreeChannelsd(["grey", "colour"])({"grey": grey, "colour": colour})
    assert torch.equal(found["grey"], torch.cat([grey] * 3))
    assert torch.equal(found["colour"], colour)


def test_bgr_turns_colour_around_and_leaves_grey():
    colour = torch.rand(3, 2, 2)
    found = ThreeChannelsd("image", order="bgr")({"image": colour})["image"]
    assert torch.equal(found, colour[[2, 1, 0]])
    grey = torch.rand(1, 2, 2)
    assert torch.equal(ThreeChannelsd("image", order="bgr")({"image": grey})["image"], grey.repeat(3, 1, 1))


def test_channels_share_no_memory_so_that_a_later_step_may_work_in_place():
    image = ThreeChannelsd("image")({"image": torch.full((1, 2, 2), 2.0)})["image"]
    found = NormalizeIntensity(subtrahend=[1.0, 1.0, 1.0], divisor=[2.0, 4.0, 8.0], channel_wise=True)(image)
    assert found[:, 0, 0].tolist() == [0.5, 0.25, 0.125]


@pytest.mark.parametrize("channels", [2, 4])
def test_other_channels_are_refused_by_name(channels):
    image = MetaTensor(torch.zeros(channels, 2, 2), meta={"filename_or_obj": "/secret/shot.png"})
    with pytest.raises(ValueError, match=rf"^shot.png has {channels} channels, expected 1 \(grey\) or 3"):
        ThreeChannelsd("image")({"image": image})
    with pytest.raises(ValueError, match=r"^named has"):
        ThreeChannelsd("image")({"image": torch.zeros(channels, 2, 2), "name": "named"})


def test_an_unknown_order_is_refused():
    with pytest.raises(ValueError, match="rgb, bgr"):
        ThreeChannelsd("image", order="gbr")


def test_three_equal_channels_before_a_convolution_are_one_before_the_sum_of_its_weights():
    torch.manual_seed(0)
    convolution, image = torch.nn.Conv2d(3, 4, 3, bias=False), torch.rand(1, 1, 8, 8)
    three = ThreeChannelsd("image")({"image": image[0]})["image"][None]
    summed = torch.nn.functional.conv2d(image, convolution.weight.sum(1, keepdim=True))
    torch.testing.assert_close(convolution(three), summed)
