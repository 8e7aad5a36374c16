"""U-Net on a ResNet backbone, for slices."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from segmentation_models_pytorch.base import SegmentationHead
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from torch import nn

from lvm_med_monai.networks.resnet import ResNetEncoder


class SegmentationUNet(nn.Module):
    """A 2D U-Net whose encoder is the backbone of pretraining, its decoder segmentation-models-pytorch's.

    Args:
        out_channels: classes, background included.
        depth: depth of the ResNet.
        width: width of the ResNet's first stage.
        decoder_channels: channels of the five decoder stages, coarsest first; the usual ones by default. They do not
            shrink with the encoder's ``width``: a last stage of few channels learns large organs and never small ones.

    Example:
        >>> SegmentationUNet(out_channels=5, depth=18, width=32)(torch.zeros(1, 3, 64, 96)).shape
        torch.Size([1, 5, 64, 96])
    """

    def __init__(
        self,
        out_channels: int,
        depth: int = 50,
        width: int = 64,
        decoder_channels: Sequence[int] = (256, 128, 64, 32, 16),
    ) -> None:
        super().__init__()
        self.encoder = ResNetEncoder(depth, width)
        self.decoder = UnetDecoder([3, *self.encoder.channels], list(decoder_channels), n_blocks=len(decoder_channels))
        self.head = SegmentationHead(decoder_channels[-1], out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores (B, out_channels, H, W) of images (B, 3, H, W); any H and W of at least 32."""
        maps = self.encoder.features(x).maps
        return self.head(self.decoder([x, maps[0], maps[1], maps[2], maps[3], maps[4]]))
