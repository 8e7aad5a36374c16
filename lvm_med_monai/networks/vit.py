"""Vision transformers in the form of SAM's image encoder, the form in which LVM-Med publishes its ViT-B.

The blocks are timm's ``VisionTransformerSAM``. segment-anything's ``ImageEncoderViT`` computes the same numbers, but
``torch.jit.script`` refuses it (the padding of its windows is undefined on one branch), the package has had no release
since 2023, and it takes images of one size only. timm's scripts, exports by ``torch.export``, interpolates positions
for any size, and differs from the published names in ``mlp.fc1`` and ``mlp.fc2`` alone, which ``load_backbone``
translates. Its attention is restated here with a batch axis and an axis of heads, which ONNX and the fused kernels of
torch ask for.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from timm.layers import resample_abs_pos_embed_nhwc
from timm.models.vision_transformer_sam import Attention, Block, VisionTransformerSAM, get_decomposed_rel_pos_bias
from torch import nn
from torch.nn import functional

from lvm_med_monai.networks.resnet import Features
from lvm_med_monai.networks.vit_sizes import MAPS, check_vit_sizes, tapped_blocks


class ViTEncoder(VisionTransformerSAM):
    """SAM's ViT without its classifier: windowed attention with a few global blocks and decomposed relative positions.

    Calling it gives pooled features, so that it exports as a network of one output; ``features`` gives maps as well,
    in the same pass, and ``embed`` what SAM's prompt decoder takes. The defaults are ViT-B/16 as LVM-Med publishes it:
    tables of relative positions for images of 1024 x 1024, interpolated for other sizes, and no absolute positions.

    Args:
        image_size: side of the images for which the tables of positions are made; others are interpolated.
        patch_size: side of a patch.
        dim: channels of the tokens.
        depth: number of blocks, at least four; the last block of each quarter attends globally and gives a map.
        heads: attention heads.
        window: side of the windows of the other blocks, in tokens.
        absolute_positions: whether there is a table of absolute positions, as SAM has and LVM-Med has not.
        neck: channels of the convolutional neck that SAM's decoder needs (256); None for none.
        in_channels: channels of the image.

    Attributes:
        channels: channels of each map.
        num_features: channels of the pooled features.

    Raises:
        ValueError: a size does not fit another.

    Example:
        >>> encoder = ViTEncoder(image_size=64, dim=32, depth=4, heads=2, window=3)
        >>> maps, pooled = encoder.features(torch.zeros(2, 3, 48, 80))
        >>> tuple(maps[-1].shape), tuple(pooled.shape)
        ((2, 32, 3, 5), (2, 32))
    """

    def __init__(
        self,
        image_size: int = 1024,
        patch_size: int = 16,
        dim: int = 768,
        depth: int = 12,
        heads: int = 12,
        window: int = 14,
        absolute_positions: bool = False,
        neck: int | None = None,
        in_channels: int = 3,
    ) -> None:
        check_vit_sizes(image_size, patch_size, dim, depth, heads)
        taps = tapped_blocks(depth)
        super().__init__(
            img_size=image_size,
            patch_size=patch_size,
            in_chans=in_channels,
            num_classes=0,
            embed_dim=dim,
            depth=depth,
            num_heads=heads,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            use_abs_pos=absolute_positions,
            use_rel_pos=True,
            window_size=window,
            global_attn_indexes=tuple(taps),
            neck_chans=neck or 0,
            block_fn=_Block,
        )
        if neck is None:
            self.neck = nn.Identity()
        self.head = nn.Identity()
        self.image_size = image_size
        self.patch_size = patch_size
        self.taps: list[int] = taps
        self.channels: list[int] = [dim] * MAPS
        self.num_features = dim

    def maps(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Output of the last block of each quarter, shape (B, dim, H / patch_size, W / patch_size) each.

        Raises:
            ValueError: a side of the images is no multiple of ``patch_size``.
        """
        if x.shape[-2] % self.patch_size != 0 or x.shape[-1] % self.patch_size != 0:
            raise ValueError(
                f"images of {x.shape[-2]} x {x.shape[-1]} do not divide into patches of {self.patch_size}: "
                "resize or pad them to a multiple"
            )
        tokens = self.patch_embed(x)
        if self.pos_embed is not None:
            tokens = tokens + resample_abs_pos_embed_nhwc(self.pos_embed, tokens.shape[1:3])
        maps: list[torch.Tensor] = []
        for index, block in enumerate(self.blocks):
            tokens = block(tokens)
            if index in self.taps:
                maps.append(tokens.permute(0, 3, 1, 2))
        return maps

    def features(self, x: torch.Tensor) -> Features:
        """Maps of four depths, shallowest first, and the mean of the last, of images (B, C, H, W)."""
        maps = self.maps(x)
        return Features(maps, maps[-1].mean((2, 3)))

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        """The last map through the neck, shape (B, neck, H / patch_size, W / patch_size)."""
        return self.neck(self.maps(x)[-1])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pooled features (B, dim) of images (B, C, H, W)."""
        return self.maps(x)[-1].mean((2, 3))


class _Attention(Attention):
    """Attention over a grid of tokens, with the bias of decomposed relative positions."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Attend within each grid of tokens (B, H, W, C)."""
        grids, rows, columns, channels = x.shape
        tokens = rows * columns
        split = self.qkv(x).reshape(grids, tokens, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4)
        query, key, value = split[0], split[1], split[2]
        size = (rows, columns)
        bias = get_decomposed_rel_pos_bias(query.flatten(0, 1), self.rel_pos_h, self.rel_pos_w, size, size)
        bias = bias.reshape(grids, self.num_heads, tokens, tokens)
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        return self.proj(attended.transpose(1, 2).reshape(grids, rows, columns, channels))


class _Block(Block):
    """timm's block with the attention above."""

    def __init__(self, dim: int, num_heads: int, window_size: int = 0, **options: Any) -> None:
        super().__init__(dim, num_heads, window_size=window_size, **options)
        size = (window_size, window_size) if window_size else options["input_size"]
        self.attn = _Attention(
            dim, num_heads, norm_layer=options["norm_layer"], use_rel_pos=options["use_rel_pos"], input_size=size
        )
