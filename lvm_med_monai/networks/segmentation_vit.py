"""End-to-end segmentation of slices by a vision transformer.

The decoder is that of UNETR, from MONAI's own blocks: it was made for a ViT with patches of 16 and reads the output of
blocks 3, 6, 9 and 12, which are the global blocks of SAM's and LVM-Med's ViT-B; it brings scores to every pixel with a
branch of convolutions on the image itself, scripts, and needs no other package. A DPT decoder
(segmentation-models-pytorch) stops at half the resolution, takes multiples of 32 only and does not script; a U-Net
decoder on a simple feature pyramid sees the last block alone.
"""

from __future__ import annotations

import torch
from monai.networks.blocks import UnetOutBlock, UnetrBasicBlock, UnetrPrUpBlock, UnetrUpBlock
from torch import nn
from torch.nn import functional

from lvm_med_monai.networks.vit import ViTEncoder

_PATCH = 16


class SegmentationViT(nn.Module):
    """A ViT encoder of LVM-Med's form with UNETR's decoder: class scores at the size of the image.

    Args:
        out_channels: classes, background included.
        dim: channels of the ViT's tokens.
        depth: blocks of the ViT.
        heads: attention heads of the ViT.
        window: side of the ViT's windows, in tokens.
        image_size: side of the images for which the ViT's tables of positions are made; 1024 as in the published
            weights, whatever the size of the images.
        decoder_width: channels of the decoder at full resolution; doubled at every level below.
        absolute_positions: whether the ViT has a table of absolute positions, as SAM's weights need.

    Example:
        >>> SegmentationViT(3, dim=32, depth=4, heads=2, window=3, image_size=64, decoder_width=4)(
        ...     torch.zeros(1, 3, 40, 64)
        ... ).shape
        torch.Size([1, 3, 40, 64])
    """

    def __init__(
        self,
        out_channels: int,
        dim: int = 768,
        depth: int = 12,
        heads: int = 12,
        window: int = 14,
        image_size: int = 1024,
        decoder_width: int = 16,
        absolute_positions: bool = False,
    ) -> None:
        super().__init__()
        self.patch_size = _PATCH
        self.encoder = ViTEncoder(
            image_size=image_size,
            patch_size=_PATCH,
            dim=dim,
            depth=depth,
            heads=heads,
            window=window,
            absolute_positions=absolute_positions,
        )
        block = {"spatial_dims": 2, "kernel_size": 3, "norm_name": "instance", "res_block": True}
        lift = {**block, "stride": 1, "upsample_kernel_size": 2, "conv_block": True}
        join = {**block, "upsample_kernel_size": 2}
        wide = decoder_width
        self.skip_full = UnetrBasicBlock(in_channels=3, out_channels=wide, stride=1, **block)
        self.skip_half = UnetrPrUpBlock(in_channels=dim, out_channels=2 * wide, num_layer=2, **lift)
        self.skip_quarter = UnetrPrUpBlock(in_channels=dim, out_channels=4 * wide, num_layer=1, **lift)
        self.skip_eighth = UnetrPrUpBlock(in_channels=dim, out_channels=8 * wide, num_layer=0, **lift)
        self.to_eighth = UnetrUpBlock(in_channels=dim, out_channels=8 * wide, **join)
        self.to_quarter = UnetrUpBlock(in_channels=8 * wide, out_channels=4 * wide, **join)
        self.to_half = UnetrUpBlock(in_channels=4 * wide, out_channels=2 * wide, **join)
        self.to_full = UnetrUpBlock(in_channels=2 * wide, out_channels=wide, **join)
        self.head = UnetOutBlock(spatial_dims=2, in_channels=wide, out_channels=out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores (B, out_channels, H, W) of images (B, 3, H, W); sides are padded to multiples of 16 inside."""
        rows, columns = x.shape[-2], x.shape[-1]
        x = functional.pad(x, [0, (-columns) % self.patch_size, 0, (-rows) % self.patch_size])
        maps = self.encoder.maps(x)
        scores = self.to_eighth(maps[3], self.skip_eighth(maps[2]))
        scores = self.to_quarter(scores, self.skip_quarter(maps[1]))
        scores = self.to_half(scores, self.skip_half(maps[0]))
        scores = self.to_full(scores, self.skip_full(x))
        return self.head(scores)[..., :rows, :columns]
