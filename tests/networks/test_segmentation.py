from __future__ import annotations

import pytest
import torch

from lvm_med_monai.networks import Projector, SegmentationUNet


def test_scripts_and_keeps_the_size_of_the_image():
    network = SegmentationUNet(out_channels=3, depth=18, width=8).eval()
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        scores = network(images)
        assert scores.shape == (1, 3, 64, 96)
        torch.testing.assert_close(torch.jit.script(network)(images), scores)


def test_sizes_that_32_does_not_divide_work():
    with torch.no_grad():
        assert SegmentationUNet(2, depth=18, width=8).eval()(torch.randn(1, 3, 50, 71)).shape == (1, 2, 50, 71)


@pytest.mark.parametrize(("hidden", "parameters"), [(None, 4 * 2 + 2), (3, 4 * 3 + 3 + 6 + 3 * 2 + 2)])
def test_projector_is_linear_or_has_one_hidden_layer(hidden, parameters):
    projector = Projector(4, 2, hidden)
    assert sum(p.numel() for p in projector.parameters()) == parameters
    assert projector(torch.randn(5, 4)).shape == (5, 2)
