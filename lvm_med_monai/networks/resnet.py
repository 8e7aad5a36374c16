"""ResNet encoders that return feature maps and pooled features from one call."""

from __future__ import annotations

from typing import NamedTuple

import torch
from monai.networks.nets.resnet import ResNet, ResNetBlock, ResNetBottleneck

_LAYOUTS = {18: (ResNetBlock, (2, 2, 2, 2)), 34: (ResNetBlock, (3, 4, 6, 3)), 50: (ResNetBottleneck, (3, 4, 6, 3))}


class Features(NamedTuple):
    """What an encoder knows about a batch of images.

    Attributes:
        maps: feature maps, finest first, shape (B, C, H, W) each. A ResNet has five, of strides 2 to 32; a ViT four, of
            different depths and one stride, that of its patches.
        pooled: one vector an image, shape (B, C): the spatial mean of the last map, or the class token where there is
            one.
    """

    maps: list[torch.Tensor]
    pooled: torch.Tensor


class ResNetEncoder(ResNet):
    """MONAI's ResNet in 2D without its classifier: torchvision's architecture and parameter names.

    Calling it gives pooled features, so that it exports as a network of one output; ``features`` gives
    the maps as well, in the same pass.

    Args:
        depth: 18, 34 or 50.
        width: channels of the stem and of the first stage before expansion: 64 is the standard network, 32 halves all.
        in_channels: channels of the image.

    Raises:
        ValueError: ``depth`` is not one of the known depths, or ``width`` is not positive.

    Example:
        >>> encoder = ResNetEncoder(depth=18, width=32)
        >>> maps, pooled = encoder.features(torch.zeros(2, 3, 96, 96))
        >>> tuple(maps[-1].shape), tuple(pooled.shape)
        ((2, 256, 3, 3), (2, 256))
    """

    def __init__(self, depth: int = 50, width: int = 64, in_channels: int = 3) -> None:
        if depth not in _LAYOUTS:
            raise ValueError(f"no ResNet of depth {depth}: choose one of {sorted(_LAYOUTS)}")
        if width < 1:
            raise ValueError(f"a ResNet needs a positive width, got {width}")
        block, layers = _LAYOUTS[depth]
        stages = [width * factor for factor in (1, 2, 4, 8)]
        super().__init__(
            block,
            list(layers),
            stages,
            spatial_dims=2,
            n_input_channels=in_channels,
            conv1_t_size=7,
            conv1_t_stride=2,
            feed_forward=False,
            bias_downsample=False,
        )
        self.channels: list[int] = [width, *(block.expansion * stage for stage in stages)]
        self.num_features: int = self.channels[-1]

    def features(self, x: torch.Tensor) -> Features:
        """Feature maps and pooled features of images of shape (B, C, H, W)."""
        stem = self.act(self.bn1(self.conv1(x)))
        first = self.layer1(self.maxpool(stem))
        second = self.layer2(first)
        third = self.layer3(second)
        fourth = self.layer4(third)
        return Features([stem, first, second, third, fourth], fourth.mean((2, 3)))
