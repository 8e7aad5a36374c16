"""The ViT-B/14 of DINOv2 and RAD-DINO."""

from __future__ import annotations

from functools import partial

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from lvm_med_monai.networks.resnet import Features
from lvm_med_monai.networks.vit_sizes import MAPS, check_vit_sizes, tapped_blocks


class DinoViTEncoder(VisionTransformer):
    """timm's ViT as DINOv2 builds it: a class token, layer scale, learned positions that are resampled to any size.

    Calling it gives the class token, the image's representation in DINOv2 and RAD-DINO; ``features`` gives maps as
    well, in the same pass, and ``tokens`` everything. The defaults are RAD-DINO's ViT-B/14 for images of 518 x 518.
    ``load_backbone`` takes weights in timm's, DINOv2's and Hugging Face's names.

    Args:
        image_size: side of the images for which the table of positions is made; others are resampled.
        patch_size: side of a patch.
        dim: channels of the tokens.
        depth: number of blocks, at least four; the last block of each quarter gives a map.
        heads: attention heads.
        layer_scale: first value of the layer scales.
        drop_path: largest rate of dropped residual branches, reached in the last block; only while training.
        in_channels: channels of the image.

    Attributes:
        channels: channels of each map.
        num_features: channels of the pooled features.

    Raises:
        ValueError: a size does not fit another.

    Example:
        >>> encoder = DinoViTEncoder(image_size=56, dim=32, depth=4, heads=2)
        >>> maps, pooled = encoder.features(torch.zeros(2, 3, 42, 70))
        >>> tuple(maps[-1].shape), tuple(pooled.shape)
        ((2, 32, 3, 5), (2, 32))
    """

    def __init__(
        self,
        image_size: int = 518,
        patch_size: int = 14,
        dim: int = 768,
        depth: int = 12,
        heads: int = 12,
        layer_scale: float = 1e-5,
        drop_path: float = 0.0,
        in_channels: int = 3,
    ) -> None:
        check_vit_sizes(image_size, patch_size, dim, depth, heads)
        super().__init__(
            img_size=image_size,
            patch_size=patch_size,
            in_chans=in_channels,
            num_classes=0,
            embed_dim=dim,
            depth=depth,
            num_heads=heads,
            init_values=layer_scale,
            drop_path_rate=drop_path,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            dynamic_img_size=True,
        )
        self.image_size = image_size
        self.patch_size = patch_size
        self.taps: list[int] = tapped_blocks(depth)
        self.channels: list[int] = [dim] * MAPS

    def tokens(self, x: torch.Tensor) -> torch.Tensor:
        """Normalised tokens (B, 1 + patches, dim) of images (B, C, H, W): the class token, then patches by rows.

        Raises:
            ValueError: a side of the images is no multiple of ``patch_size``.
        """
        return self.norm(self._blocks(x)[-1])

    def features(self, x: torch.Tensor) -> Features:
        """Normalised maps of four depths, shallowest first, and the class token of the last block."""
        rows, columns = x.shape[-2] // self.patch_size, x.shape[-1] // self.patch_size
        maps: list[torch.Tensor] = []
        pooled = torch.zeros(0)
        for tokens in self._blocks(x):
            normalised = self.norm(tokens)
            pooled = normalised[:, 0]
            maps.append(normalised[:, 1:].transpose(1, 2).unflatten(2, (rows, columns)))
        return Features(maps, pooled)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class token (B, dim) of images (B, C, H, W)."""
        return self.tokens(x)[:, 0]

    def _blocks(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Tokens after the last block of each quarter, shape (B, 1 + patches, dim) each."""
        if x.shape[-2] % self.patch_size != 0 or x.shape[-1] % self.patch_size != 0:
            raise ValueError(
                f"images of {x.shape[-2]} x {x.shape[-1]} do not divide into patches of {self.patch_size}: "
                "resize or pad them to a multiple"
            )
        tokens = self._pos_embed(self.patch_embed(x))
        kept: list[torch.Tensor] = []
        for index, block in enumerate(self.blocks):
            tokens = block(tokens)
            if index in self.taps:
                kept.append(tokens)
        return kept
