from __future__ import annotations

import pytest
import torch

from lvm_med_monai.networks import SegmentationViT, ViTEncoder, load_backbone

SMALL = {"dim": 32, "depth": 4, "heads": 2, "window": 3, "image_size": 64, "decoder_width": 4}


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return SegmentationViT(out_channels=3, **SMALL).eval()


@pytest.mark.parametrize("size", [(64, 96), (50, 71), (16, 16), (33, 15)])
def test_scores_have_the_size_of_the_image(network, size):
    with torch.no_grad():
        assert network(torch.randn(2, 3, *size)).shape == (2, 3, *size)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_scripts_and_exports(network):
    images = torch.randn(1, 3, 40, 64)
    with torch.no_grad():
        scores = network(images)
        torch.testing.assert_close(torch.jit.script(network)(images), scores)
        torch.testing.assert_close(torch.export.export(network, (images,)).module()(images), scores)


def test_padding_inside_does_not_move_the_scores(network):
    """Scores of an image are those of the image that the user padded, cut."""
    images = torch.randn(1, 3, 40, 56)
    padded = torch.nn.functional.pad(images, [0, 8, 0, 8])
    with torch.no_grad():
        torch.testing.assert_close(network(images), network(padded)[..., :40, :56])


def test_every_depth_and_the_image_reach_the_scores(network):
    images = torch.randn(1, 3, 32, 32, requires_grad=True)
    network(images).square().sum().backward()
    assert images.grad.abs().sum() > 0
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []


def test_the_encoder_takes_backbone_weights(tmp_path):
    source = ViTEncoder(image_size=64, dim=32, depth=4, heads=2, window=3)
    torch.save(source.state_dict(), tmp_path / "model.pt")
    network = SegmentationViT(2, **SMALL)
    load_backbone(network.encoder, tmp_path / "model.pt")
    for name, tensor in network.encoder.state_dict().items():
        assert torch.equal(tensor, source.state_dict()[name])


def test_it_learns_a_bright_square():
    torch.manual_seed(0)
    network = SegmentationViT(2, **SMALL)
    images, masks = torch.randn(4, 3, 32, 32) * 0.1, torch.zeros(4, 32, 32, dtype=torch.long)
    for index in range(4):
        images[index, :, 4 * index : 4 * index + 12, 8:20] += 1
        masks[index, 4 * index : 4 * index + 12, 8:20] = 1
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    losses = []
    for _ in range(40):
        loss = torch.nn.functional.cross_entropy(network(images), masks)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
