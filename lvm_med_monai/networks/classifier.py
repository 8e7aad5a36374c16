"""An encoder with a head that scores classes, trained whole or with the encoder frozen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from lvm_med_monai.networks.resnet import ResNetEncoder
from lvm_med_monai.networks.vit import ViTEncoder

HEADS = ("linear", "fcns")
BACKBONES = ("resnet", "vit")


def class_head(kind: str, features: int, classes: int, hidden: Sequence[int] = (512, 256)) -> nn.Module:
    """One linear map, or a perceptron: the two heads of the LVM-Med paper, section D.2.

    Args:
        kind: "linear" for ``Linear(features, classes)``, "fcns" for linear maps through ``hidden`` with ReLU between.
        features: numbers that the encoder gives for an image.
        classes: scores to give.
        hidden: sizes of the hidden layers of "fcns".

    Raises:
        ValueError: the kind is not known, or "fcns" has no hidden layers.
    """
    if kind == "linear":
        return nn.Linear(features, classes)
    if kind != "fcns":
        raise ValueError(f"no head {kind!r}: choose one of {', '.join(HEADS)}")
    if not hidden:
        raise ValueError('the head "fcns" needs sizes of hidden layers, such as [512, 256]')
    layers: list[nn.Module] = []
    for entering, leaving in zip([features, *hidden], hidden, strict=False):
        layers += [nn.Linear(entering, leaving), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(hidden[-1], classes))


def image_encoder(
    backbone: str, depth: int, width: int, vit: dict[str, Any] | None = None
) -> ResNetEncoder | ViTEncoder:
    """The encoder of a network, by the words of a configuration.

    Args:
        backbone: "resnet" or "vit".
        depth: of the ResNet.
        width: of the ResNet's first stage.
        vit: arguments of `ViTEncoder`.

    Raises:
        ValueError: the backbone is not known.
    """
    if backbone == "resnet":
        return ResNetEncoder(depth, width)
    if backbone != "vit":
        raise ValueError(f"no backbone {backbone!r}: choose one of {', '.join(BACKBONES)}")
    return ViTEncoder(**(vit or {}))


class Classifier(nn.Module):
    """Class scores of images: an encoder's pooled features and a head.

    Args:
        num_classes: scores to give.
        head: "linear" or "fcns", see `class_head`.
        hidden: sizes of the hidden layers of "fcns".
        backbone: "resnet" or "vit".
        depth: of the ResNet.
        width: of the ResNet's first stage.
        vit: arguments of `ViTEncoder`, such as its sizes; none for ViT-B.
        frozen: train the head alone. The encoder gets no gradient, and its batch normalisation uses and keeps the
            statistics that it came with.
        moving_statistics: with ``frozen``, let batch normalisation go by the statistics of each batch and move the
            stored ones, as the code of the paper does.

    Attributes:
        encoder: takes backbone weights through `load_backbone`.
        head: what is trained in any case.

    Raises:
        ValueError: no class, or an unknown head or backbone.

    Example:
        >>> Classifier(num_classes=4, depth=18, width=8)(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 4])
    """

    def __init__(
        self,
        num_classes: int,
        head: str = "linear",
        hidden: Sequence[int] = (512, 256),
        backbone: str = "resnet",
        depth: int = 50,
        width: int = 64,
        vit: dict[str, Any] | None = None,
        frozen: bool = False,
        moving_statistics: bool = False,
    ) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"a classifier needs at least one class, got {num_classes}")
        self.encoder = image_encoder(backbone, depth, width, vit)
        self.head = class_head(head, self.encoder.num_features, num_classes, hidden)
        self.frozen = frozen
        self.moving_statistics = moving_statistics
        if frozen:
            self.encoder.requires_grad_(False)
            self.train(self.training)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores (B, num_classes) before softmax or sigmoid, of images (B, 3, H, W)."""
        return self.head(self.encoder(x))

    def train(self, mode: bool = True) -> Classifier:
        """Set the mode; a frozen encoder stays in evaluation mode unless its statistics shall move."""
        super().train(mode)
        if self.frozen and not self.moving_statistics:
            self.encoder.eval()
        return self
