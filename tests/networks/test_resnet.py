from __future__ import annotations

import pytest
import torch
import torchvision

from lvm_med_monai.networks import ResNetEncoder


@pytest.mark.parametrize("depth", [18, 34, 50])
def test_equals_torchvision_with_the_same_weights(depth):
    torch.manual_seed(0)
    peer = getattr(torchvision.models, f"resnet{depth}")().eval()
    peer.fc = torch.nn.Identity()
    encoder = ResNetEncoder(depth).eval()
    encoder.load_state_dict(peer.state_dict())
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(encoder(images), peer(images))


def test_one_call_gives_all_strides_and_the_mean_of_the_last_map():
    encoder = ResNetEncoder(18, width=32).eval()
    maps, pooled = encoder.features(torch.randn(2, 3, 64, 128))
    assert [tuple(m.shape[1:]) for m in maps] == [(32, 32, 64), (32, 16, 32), (64, 8, 16), (128, 4, 8), (256, 2, 4)]
    assert encoder.channels == [m.shape[1] for m in maps]
    torch.testing.assert_close(pooled, maps[-1].mean((2, 3)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"depth": 20}, r"no ResNet of depth 20: choose one of \[18, 34, 50\]"), ({"width": 0}, "positive width, got 0")],
)
def test_bad_sizes_say_what_is_possible(arguments, message):
    with pytest.raises(ValueError, match=message):
        ResNetEncoder(**arguments)
