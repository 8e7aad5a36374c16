"""SAM ViT-B at its full width, on images of 256 pixels, as 1024 take minutes on one core."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

from lvm_med_monai.networks import PromptedSegmenter, load_prompted
from lvm_med_monai.transforms import encode_prompts
from tests.networks.sam_peer import randomised

SIDE = 256


def vit_b() -> Sam:
    """segment-anything's ViT-B as its ``_build_sam`` makes it, but for the size of the image."""
    encoder = ImageEncoderViT(
        img_size=SIDE,
        use_rel_pos=True,
        window_size=14,
        global_attn_indexes=(2, 5, 8, 11),
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
    )
    prompts = PromptEncoder(256, (SIDE // 16, SIDE // 16), (SIDE, SIDE), 16)
    decoder = MaskDecoder(transformer_dim=256, transformer=TwoWayTransformer(2, 256, 8, 2048))
    return Sam(encoder, prompts, decoder, pixel_mean=[0, 0, 0], pixel_std=[1, 1, 1]).eval()


@pytest.mark.slow
def test_sam_vit_b_gives_the_librarys_scores(tmp_path):
    torch.manual_seed(0)
    sam = vit_b()
    randomised(sam.prompt_encoder)
    torch.save(sam.state_dict(), tmp_path / "sam_vit_b.pth")
    image, box = torch.randn(3, SIDE, SIDE), (50.0, 30.5, 200.0, 150.0)
    record = {"image": image, "original_size": (SIDE, SIDE), "boxes": torch.tensor([box])}
    network = load_prompted(PromptedSegmenter(image_size=SIDE), tmp_path / "sam_vit_b.pth").eval()
    with torch.no_grad():
        low = sam([record], multimask_output=False)[0]["low_res_logits"]
        expected = sam.postprocess_masks(low, (SIDE, SIDE), (SIDE, SIDE))
        torch.testing.assert_close(network(encode_prompts(image, box=box)[None]), expected, atol=1e-4, rtol=1e-4)
