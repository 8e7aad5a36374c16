from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from lvm_med_monai.networks import DinoViTEncoder, ViTEncoder
from lvm_med_monai.networks.weight_names import from_sam
from tests.networks.sam_peer import SIZE, VIT, peer_encoder

DINO = {"image_size": 56, "dim": 32, "depth": 8, "heads": 2}
EITHER = pytest.mark.parametrize(
    ("encoder", "size"), [(ViTEncoder(**VIT), (48, 80)), (DinoViTEncoder(**DINO), (42, 70))], ids=["sam", "dino"]
)


@pytest.mark.parametrize("absolute", [False, True], ids=["lvm-med", "sam"])
def test_equals_segment_anything_with_the_same_weights(absolute):
    peer = peer_encoder(absolute)
    encoder = ViTEncoder(**VIT, absolute_positions=absolute, neck=32).eval()
    encoder.load_state_dict(from_sam(peer.state_dict()))
    images = torch.randn(2, 3, SIZE, SIZE)
    with torch.no_grad():
        torch.testing.assert_close(encoder.embed(images), peer(images), atol=1e-5, rtol=1e-5)


def test_relative_positions_of_another_size_are_interpolated_as_segment_anything_does():
    """A peer whose tables are made for larger images interpolates them when it is given smaller ones."""
    peer = peer_encoder(False, size=2 * SIZE)
    encoder = ViTEncoder(**{**VIT, "image_size": 2 * SIZE}, neck=32).eval()
    encoder.load_state_dict(from_sam(peer.state_dict()))
    for size in ((64, 64), (48, 80), (16, 32)):
        images = torch.randn(1, 3, *size)
        with torch.no_grad():
            torch.testing.assert_close(encoder.embed(images), peer(images), atol=1e-5, rtol=1e-5)


def test_full_size_has_the_published_number_of_tensors():
    with torch.device("meta"):
        counts = [len(ViTEncoder(neck=256, absolute_positions=absolute).state_dict()) for absolute in (False, True)]
        shapes = {name: tuple(tensor.shape) for name, tensor in ViTEncoder().state_dict().items()}
    assert counts == [176, 177]
    assert shapes["blocks.0.attn.rel_pos_h"] == (27, 64)
    assert {index for index in range(12) if shapes[f"blocks.{index}.attn.rel_pos_w"] == (127, 64)} == {2, 5, 8, 11}


@EITHER
def test_one_call_gives_maps_and_pooled_features(encoder, size):
    images = torch.randn(2, 3, *size)
    encoder.eval()
    with torch.no_grad():
        maps, pooled = encoder.features(images)
        torch.testing.assert_close(encoder(images), pooled)
    assert [tuple(m.shape) for m in maps] == [(2, 32, 3, 5)] * 4
    assert encoder.channels == [32] * 4
    assert encoder.num_features == pooled.shape[1] == 32
    assert not torch.equal(maps[0], maps[3])


def test_pooled_features_are_the_mean_of_the_last_map_or_the_class_token():
    vit, dino = ViTEncoder(**VIT).eval(), DinoViTEncoder(**DINO).eval()
    with torch.no_grad():
        maps, pooled = vit.features(torch.randn(1, 3, 32, 32))
        torch.testing.assert_close(pooled, maps[-1].mean((2, 3)))
        images = torch.randn(1, 3, 42, 70)
        tokens = dino.tokens(images)
        torch.testing.assert_close(tokens, dino.forward_features(images))
        maps, pooled = dino.features(images)
    torch.testing.assert_close(pooled, tokens[:, 0])
    torch.testing.assert_close(maps[-1].flatten(2).transpose(1, 2), tokens[:, 1:])


@EITHER
def test_gradients_reach_every_parameter(encoder, size):
    encoder(torch.randn(1, 3, *size)).square().sum().backward()
    assert [name for name, parameter in encoder.named_parameters() if parameter.grad is None] == []
    encoder.zero_grad()


@EITHER
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_scripts_and_exports(encoder, size):
    images = torch.randn(1, 3, *size)
    encoder.eval()
    with torch.no_grad():
        expected = encoder(images)
        torch.testing.assert_close(torch.jit.script(encoder)(images), expected)
        torch.testing.assert_close(torch.export.export(encoder, (images,)).module()(images), expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 3}, "ViT of 3 blocks gives no 4 maps"),
        ({"heads": 5}, "32 channels do not divide among 5 heads"),
        ({"image_size": 60}, "patches of 1[46] do not tile an image of 60"),
    ],
)
@pytest.mark.parametrize(("kind", "sizes"), [(ViTEncoder, VIT), (DinoViTEncoder, DINO)], ids=["sam", "dino"])
def test_bad_sizes_say_what_is_possible(kind, sizes, arguments, message):
    with pytest.raises(ValueError, match=message):
        kind(**{**sizes, **arguments})


@EITHER
def test_images_that_patches_do_not_tile_are_refused(encoder, size):
    with pytest.raises(ValueError, match=r"images of 50 x 71 do not divide into patches of 1[46]: resize or pad"):
        encoder(torch.randn(1, 3, 50, 71))


def test_a_shifted_image_gives_shifted_tokens_within_windows():
    """Without absolute positions, an image that repeats every window gives the same tokens in each windowed block."""
    encoder = ViTEncoder(**VIT).eval()
    tile = torch.randn(1, 3, 48, 48)
    images = torch.cat([tile, tile], -1)
    with torch.no_grad():
        tokens = encoder.blocks[0](encoder.patch_embed(images))
    torch.testing.assert_close(tokens[:, :, :3], tokens[:, :, 3:])
    assert functional.cosine_similarity(tokens[0, 0, 0], tokens[0, 0, 1], dim=0) < 0.999
