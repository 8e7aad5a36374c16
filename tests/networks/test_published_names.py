"""Files made here with the published names and shapes: LVM-Med's, SAM's, DINOv2's and RAD-DINO's."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from lvm_med_monai.networks import DinoViTEncoder, PromptedSegmenter, ViTEncoder, load_backbone, load_prompted
from lvm_med_monai.networks.weight_names import from_hugging_face
from tests.networks.sam_peer import PROMPTED, VIT, peer_encoder, peer_sam

DINO = {"image_size": 28, "dim": 24, "depth": 4, "heads": 2}


def equal(network, state):
    own = network.state_dict()
    return own.keys() == state.keys() and all(torch.equal(own[name], state[name]) for name in own)


@pytest.fixture(scope="module")
def sam():
    return peer_sam()


@pytest.fixture(scope="module")
def lvm_med():
    return peer_encoder(absolute_positions=False)


@pytest.fixture(scope="module")
def dino():
    torch.manual_seed(0)
    return {name: torch.randn_like(tensor) for name, tensor in DinoViTEncoder(**DINO).state_dict().items()}


def as_hugging_face(state):
    """timm's names as those of ``Dinov2Model``, written out apart from the code under test."""
    pairs = {
        "cls_token": "embeddings.cls_token",
        "pos_embed": "embeddings.position_embeddings",
        "patch_embed.proj.weight": "embeddings.patch_embeddings.projection.weight",
        "patch_embed.proj.bias": "embeddings.patch_embeddings.projection.bias",
        "norm.weight": "layernorm.weight",
        "norm.bias": "layernorm.bias",
    }
    named = {theirs: state[ours] for ours, theirs in pairs.items()}
    named["embeddings.mask_token"] = torch.zeros(1, 24)
    for index in range(4):
        ours, theirs = f"blocks.{index}.", f"encoder.layer.{index}."
        for kind in ("weight", "bias"):
            for part in ("norm1", "norm2", "mlp.fc1", "mlp.fc2"):
                named[f"{theirs}{part}.{kind}"] = state[f"{ours}{part}.{kind}"]
            query, key, value = state[f"{ours}attn.qkv.{kind}"].chunk(3)
            named[f"{theirs}attention.attention.query.{kind}"] = query.clone()
            named[f"{theirs}attention.attention.key.{kind}"] = key.clone()
            named[f"{theirs}attention.attention.value.{kind}"] = value.clone()
            named[f"{theirs}attention.output.dense.{kind}"] = state[f"{ours}attn.proj.{kind}"]
        named[f"{theirs}layer_scale1.lambda1"] = state[f"{ours}ls1.gamma"]
        named[f"{theirs}layer_scale2.lambda1"] = state[f"{ours}ls2.gamma"]
    return named


def test_lvm_med_vit_loads_with_and_without_its_neck(lvm_med, tmp_path):
    torch.save(lvm_med.state_dict(), tmp_path / "lvmmed_vit.pth")
    assert len(lvm_med.state_dict()) == 2 + 8 * 14 + 6
    images = torch.randn(1, 3, 64, 64)
    necked = load_backbone(ViTEncoder(**VIT, neck=32), tmp_path / "lvmmed_vit.pth").eval()
    bare = load_backbone(ViTEncoder(**VIT), tmp_path / "lvmmed_vit.pth").eval()
    with torch.no_grad():
        torch.testing.assert_close(necked.embed(images), lvm_med(images), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(bare(images), necked(images))


@pytest.mark.parametrize(
    "wrap", [lambda s: s, lambda s: {"model": s}, lambda s: {f"module.{k}": v for k, v in s.items()}]
)
def test_sams_image_encoder_loads_with_its_absolute_positions(sam, wrap, tmp_path):
    torch.save(wrap(sam.state_dict()), tmp_path / "sam.pth")
    encoder = load_backbone(ViTEncoder(**VIT, absolute_positions=True, neck=32), tmp_path / "sam.pth").eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(encoder.embed(images), sam.image_encoder(images), atol=1e-5, rtol=1e-5)


def test_absolute_positions_are_not_lost_without_a_word(sam, tmp_path):
    torch.save(sam.state_dict(), tmp_path / "sam.pth")
    with pytest.raises(
        ValueError, match=r"unknown \(such as pos_embed\); build the ViT with absolute_positions, or drop"
    ):
        load_backbone(ViTEncoder(**VIT), tmp_path / "sam.pth")


def test_the_promptable_network_loads_sam(sam, tmp_path):
    torch.save(sam.state_dict(), tmp_path / "sam.pth")
    network = load_prompted(PromptedSegmenter(**PROMPTED), tmp_path / "sam.pth")
    assert torch.equal(network.mask_decoder.mask_tokens.weight, sam.mask_decoder.mask_tokens.weight)
    assert torch.equal(network.image_encoder.blocks[3].mlp.fc1.weight, sam.image_encoder.blocks[3].mlp.lin1.weight)
    torch.save(network.state_dict(), tmp_path / "ours.pt")
    again = load_prompted(PromptedSegmenter(**PROMPTED), tmp_path / "ours.pt")
    assert equal(again, network.state_dict())


def test_the_promptable_network_loads_lvm_med_into_sam(sam, lvm_med, tmp_path):
    torch.save(sam.state_dict(), tmp_path / "sam.pth")
    torch.save(lvm_med.state_dict(), tmp_path / "lvmmed_vit.pth")
    network = PromptedSegmenter(**PROMPTED, absolute_positions=False)
    load_prompted(network, tmp_path / "sam.pth", tmp_path / "lvmmed_vit.pth")
    assert torch.equal(network.image_encoder.neck[0].weight, lvm_med.neck[0].weight)
    assert torch.equal(network.mask_decoder.iou_token.weight, sam.mask_decoder.iou_token.weight)
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(network.eval().image_encoder.embed(images), lvm_med(images), atol=1e-5, rtol=1e-5)


def test_none_loads_nothing():
    network = PromptedSegmenter(**PROMPTED)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert load_prompted(network, None) is network
    assert equal(network, before)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda s: {k: v for k, v in s.items() if "mask_tokens" not in k},
            r"1 tensors missing \(such as mask_decoder.mask_t",
        ),
        (lambda s: {**s, "mask_decoder.extra": torch.zeros(1)}, r"1 tensors unknown \(such as mask_decoder.extra"),
        (
            lambda s: {**s, "prompt_encoder.no_mask_embed.weight": torch.zeros(1, 8)},
            r"no_mask_embed.weight is \(1, 8\), not \(1, 32",
        ),
    ],
    ids=["missing", "unknown", "shape"],
)
def test_a_damaged_sam_is_an_error_that_names_tensors(sam, damage, message, tmp_path):
    torch.save(damage(sam.state_dict()), tmp_path / "sam.pth")
    with pytest.raises(ValueError, match=message):
        load_prompted(PromptedSegmenter(**PROMPTED), tmp_path / "sam.pth")


def test_dinov2_loads_under_its_own_names(dino, tmp_path):
    torch.save({**dino, "mask_token": torch.zeros(1, 24)}, tmp_path / "dinov2.pth")
    torch.save({"teacher": {f"backbone.{k}": v for k, v in dino.items()}}, tmp_path / "run.pth")
    for name in ("dinov2.pth", "run.pth"):
        assert equal(load_backbone(DinoViTEncoder(**DINO), tmp_path / name), dino)


@pytest.mark.parametrize("prefix", ["", "dinov2."], ids=["bare", "prefixed"])
def test_rad_dino_loads_under_hugging_faces_names(dino, prefix, tmp_path):
    named = {prefix + name: tensor.contiguous() for name, tensor in as_hugging_face(dino).items()}
    save_file(named, tmp_path / "model.safetensors")
    assert equal(load_backbone(DinoViTEncoder(**DINO), tmp_path / "model.safetensors"), dino)


def test_a_missing_key_of_hugging_face_is_reported_not_guessed(dino, tmp_path):
    named = as_hugging_face(dino)
    del named["encoder.layer.2.attention.attention.key.weight"]
    assert "blocks.2.attn.qkv.weight" not in from_hugging_face(named)
    torch.save(named, tmp_path / "model.pth")
    with pytest.raises(ValueError, match=r"missing \(such as blocks.2.attn.qkv.weight"):
        load_backbone(DinoViTEncoder(**DINO), tmp_path / "model.pth")


def test_a_file_of_another_network_is_an_error(dino, lvm_med, tmp_path):
    torch.save(dino, tmp_path / "dino.pth")
    with pytest.raises(ValueError, match=r"dino\.pth do not fit ViTEncoder"):
        load_backbone(ViTEncoder(**VIT), tmp_path / "dino.pth")
