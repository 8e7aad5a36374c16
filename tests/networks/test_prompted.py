from __future__ import annotations

import pytest
import torch
from segment_anything.utils.transforms import ResizeLongestSide
from torch.nn import functional

from lvm_med_monai.networks import PromptedSegmenter, PromptedSlices
from lvm_med_monai.networks.prompted import NOTHING
from lvm_med_monai.networks.weight_names import from_sam
from lvm_med_monai.transforms import encode_prompts
from tests.networks.sam_peer import PROMPTED, SIZE, peer_sam

SIZES = [(64, 64), (40, 64), (97, 51), (30, 120), (200, 133)]
BOX = (3.0, 5.0, 40.0, 22.5)
INSIDE, OUTSIDE = [(20.0, 14.0), (8.5, 6.0)], [(1.0, 25.0)]
PROMPTS = {
    "box": {"box": BOX},
    "click": {"foreground": INSIDE[:1]},
    "clicks": {"foreground": INSIDE, "background": OUTSIDE},
    "both": {"foreground": INSIDE, "background": OUTSIDE, "box": BOX},
}


@pytest.fixture(scope="module")
def sam():
    torch.manual_seed(0)
    return peer_sam()


@pytest.fixture(scope="module")
def network(sam):
    network = PromptedSegmenter(**PROMPTED).eval()
    network.load_state_dict(from_sam(sam.state_dict()))
    return network


def library_scores(sam, image, prompts, alternatives=False):
    """What segment-anything gives for prompts in pixels of the image, at the image's size.

    The image is resized here: the library's ``apply_image_torch`` takes batch and channels for height and width.
    """
    size = tuple(image.shape[-2:])
    resize = ResizeLongestSide(SIZE)
    inner = functional.interpolate(
        image[None], resize.get_preprocess_shape(*size, SIZE), mode="bilinear", antialias=True
    )
    record = {"image": inner[0], "original_size": size}
    clicks = [*prompts.get("foreground", []), *prompts.get("background", [])]
    if clicks:
        labels = [1] * len(prompts.get("foreground", [])) + [0] * len(prompts.get("background", []))
        record["point_coords"] = resize.apply_coords_torch(torch.tensor([clicks]), size)
        record["point_labels"] = torch.tensor([labels])
    if "box" in prompts:
        record["boxes"] = resize.apply_boxes_torch(torch.tensor([prompts["box"]]), size)
    found = sam([record], multimask_output=alternatives)[0]
    best = found["iou_predictions"].argmax(1)
    return sam.postprocess_masks(found["low_res_logits"][:, best], inner.shape[-2:], size)


@pytest.mark.parametrize("prompts", PROMPTS.values(), ids=PROMPTS.keys())
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_equals_segment_anything_with_prompts_in_pixels_of_the_image(sam, network, size, prompts):
    image = torch.randn(3, *size)
    with torch.no_grad():
        scores = network(encode_prompts(image, **prompts)[None])
        torch.testing.assert_close(scores, library_scores(sam, image, prompts), atol=1e-4, rtol=1e-4)


def test_the_best_alternative_is_the_librarys(sam, network):
    image = torch.randn(3, 40, 64)
    network.alternatives = True
    with torch.no_grad():
        for prompts in PROMPTS.values():
            scores = network(encode_prompts(image, **prompts)[None])
            torch.testing.assert_close(scores, library_scores(sam, image, prompts, True), atol=1e-4, rtol=1e-4)
    network.alternatives = False


def test_images_of_a_batch_have_their_own_prompts(network):
    images = torch.randn(3, 3, 40, 64)
    prompts = [PROMPTS["box"], {"box": (30.0, 10.0, 60.0, 39.0)}, {"box": (0.0, 0.0, 5.0, 5.0)}]
    inputs = torch.stack([encode_prompts(image, **given) for image, given in zip(images, prompts, strict=True)])
    with torch.no_grad():
        together = network(inputs)
        for index in range(3):
            torch.testing.assert_close(together[index], network(inputs[index : index + 1])[0], atol=1e-5, rtol=1e-5)


def test_without_prompts_nothing_is_segmented(network):
    images = torch.randn(2, 3, 40, 64)
    inputs = torch.stack([encode_prompts(images[0]), encode_prompts(images[1], **PROMPTS["box"])])
    with torch.no_grad():
        scores = network(inputs)
        assert (scores[0] == NOTHING).all()
        torch.testing.assert_close(scores[1], network(inputs[1:])[0], atol=1e-5, rtol=1e-5)
        assert (network(inputs[:1]) == NOTHING).all()


@pytest.mark.parametrize("make", [torch.rand, torch.randn], ids=["uniform", "normal"])
def test_random_numbers_as_prompts_do_not_crash(network, make):
    with torch.no_grad():
        assert torch.isfinite(network(make(2, 4, 64, 64))).all()


def test_low_resolution_scores_are_the_decoders(sam, network):
    image = torch.randn(3, SIZE, SIZE)
    network.low_resolution = True
    with torch.no_grad():
        scores = network(encode_prompts(image, **PROMPTS["box"])[None])
        record = {"image": image, "original_size": (SIZE, SIZE), "boxes": torch.tensor([BOX])}
        expected = sam([record], multimask_output=False)[0]["low_res_logits"]
    network.low_resolution = False
    assert scores.shape == (1, 1, SIZE // 4, SIZE // 4)
    torch.testing.assert_close(scores, expected, atol=1e-4, rtol=1e-4)


def test_only_the_decoder_learns_and_encoders_stay_in_evaluation():
    network = PromptedSegmenter(**PROMPTED).train()
    assert network.mask_decoder.training
    assert not network.image_encoder.training
    assert not network.prompt_encoder.training
    network(encode_prompts(torch.randn(3, 40, 64), **PROMPTS["both"])[None]).square().mean().backward()
    learning = {name for name, parameter in network.named_parameters() if parameter.grad is not None}
    wanted = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert learning == wanted
    assert {name.split(".")[0] for name in learning} == {"mask_decoder"}
    assert not any("iou_prediction_head" in name for name in learning)


def test_an_unfrozen_network_learns_everywhere():
    network = PromptedSegmenter(**PROMPTED, frozen=False).train()
    assert network.image_encoder.training
    network(encode_prompts(torch.randn(3, 40, 64), **PROMPTS["click"])[None]).square().mean().backward()
    assert network.image_encoder.patch_embed.proj.weight.grad.abs().sum() > 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_scripts_and_exports_for_any_number_of_prompts(network):
    image = torch.randn(3, 40, 64)
    inputs = [encode_prompts(image, **prompts)[None] for prompts in PROMPTS.values()]
    with torch.no_grad():
        scripted = torch.jit.script(network)
        exported = torch.export.export(network, (inputs[0],)).module()
        for x in inputs:
            torch.testing.assert_close(scripted(x), network(x))
            torch.testing.assert_close(exported(x), network(x))


def test_a_wrong_number_of_channels_is_refused(network):
    with pytest.raises(ValueError, match="3 channels of the image and one of prompts, got 3 channels"):
        network(torch.zeros(1, 3, 64, 64))


class Counting(torch.nn.Module):
    """Scores are the sum of an image's channels; counts the slices that it sees."""

    def __init__(self):
        super().__init__()
        self.seen = 0

    def forward(self, x):
        self.seen += len(x)
        return x[:, :3].sum(1, keepdim=True)


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_volumes_pass_the_network_where_there_are_prompts(batch_size):
    stacks = torch.randn(2, 4, 12, 10, 6)
    stacks[:, 3] = 0
    prompted = [(0, 1), (0, 4), (1, 0)]
    for stack, index in prompted:
        stacks[stack, :, :, :, index] = encode_prompts(stacks[stack, :3, :, :, index], foreground=[(1.0, 1.0)])
    network = Counting()
    scores = PromptedSlices(batch_size)(stacks, network)
    assert network.seen == 3
    for stack in range(2):
        for index in range(6):
            held = (stack, index) in prompted
            expected = stacks[stack, :3, :, :, index].sum(0) if held else torch.full((12, 10), NOTHING)
            torch.testing.assert_close(scores[stack, 0, :, :, index], expected)


def test_a_volume_without_prompts_costs_nothing_and_slices_go_straight_through():
    network = Counting()
    assert (PromptedSlices()(torch.zeros(1, 4, 12, 10, 3), network) == NOTHING).all()
    assert network.seen == 0
    assert PromptedSlices()(torch.zeros(2, 4, 12, 10), network).shape == (2, 1, 12, 10)
    with pytest.raises(ValueError, match="at least one slice, got batch_size 0"):
        PromptedSlices(0)
