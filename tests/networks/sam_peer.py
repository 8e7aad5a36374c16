"""segment-anything's own networks, small, as the independent peer of ours."""

from __future__ import annotations

from functools import partial

import torch
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

SIZE = 64
VIT = {"image_size": SIZE, "dim": 32, "depth": 8, "heads": 2, "window": 3}
PROMPTED = {**VIT, "embedding": 32, "decoder_heads": 2, "decoder_mlp": 64}


def peer_encoder(absolute_positions: bool = True, size: int = SIZE) -> ImageEncoderViT:
    """Its ViT with global attention in the last block of each quarter, all parameters random."""
    encoder = ImageEncoderViT(
        img_size=size,
        embed_dim=32,
        depth=8,
        num_heads=2,
        out_chans=32,
        use_abs_pos=absolute_positions,
        use_rel_pos=True,
        window_size=3,
        global_attn_indexes=(1, 3, 5, 7),
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
    )
    return randomised(encoder).eval()


def peer_sam() -> Sam:
    """Its whole SAM, which normalises nothing, as our network wants images that are normalised."""
    grid = SIZE // 16
    prompts = PromptEncoder(
        embed_dim=32, image_embedding_size=(grid, grid), input_image_size=(SIZE, SIZE), mask_in_chans=16
    )
    decoder = MaskDecoder(transformer_dim=32, transformer=TwoWayTransformer(2, 32, 2, 64), iou_head_hidden_dim=32)
    sam = Sam(peer_encoder(), prompts, decoder, pixel_mean=[0, 0, 0], pixel_std=[1, 1, 1])
    return randomised(sam).eval()


def randomised(network: torch.nn.Module) -> torch.nn.Module:
    """Move every parameter, so that none stays at the zero that it starts from."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return network
