"""An encoder whose features can be turned, a little, towards what labels call alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from lvm_med_monai.networks.classifier import image_encoder
from lvm_med_monai.networks.weights import load_backbone, read_state


class SliceEmbedding(nn.Module):
    """Features of images: ``f + U V f``, where f are an encoder's pooled features and U V is a map of low rank.

    U is 0 at first, so that an untrained map changes nothing and the output is f itself. With a frozen encoder only U
    and V are learned.

    Args:
        rank: rank of the map, at least 1.
        backbone: "resnet" or "vit".
        depth: of the ResNet.
        width: of the ResNet's first stage.
        vit: arguments of `ViTEncoder`.
        frozen: keep the encoder as it is, its batch normalisation included.

    Attributes:
        encoder: takes backbone weights through `load_backbone`.

    Raises:
        ValueError: a rank below 1, or an unknown backbone.

    Example:
        >>> SliceEmbedding(rank=4, depth=18, width=8)(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 64])
    """

    def __init__(
        self,
        rank: int = 64,
        backbone: str = "resnet",
        depth: int = 50,
        width: int = 64,
        vit: dict[str, Any] | None = None,
        frozen: bool = True,
    ) -> None:
        super().__init__()
        if rank < 1:
            raise ValueError(f"the rank of the learned map is 1 or more, got {rank}")
        self.encoder = image_encoder(backbone, depth, width, vit)
        self.num_features: int = self.encoder.num_features
        last = nn.Linear(rank, self.num_features, bias=False)
        nn.init.zeros_(last.weight)
        self.change = nn.Sequential(nn.Linear(self.num_features, rank, bias=False), last)
        self.frozen = frozen
        if frozen:
            self.encoder.requires_grad_(False)
            self.train(self.training)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features (B, num_features) of images (B, 3, H, W), not normalised."""
        features = self.encoder(x)
        return features + self.change(features)

    def train(self, mode: bool = True) -> SliceEmbedding:
        """Set the mode; a frozen encoder stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self


def load_embedding(network: SliceEmbedding, path: str | Path) -> SliceEmbedding:
    """Load weights in place: of a `SliceEmbedding`, or of a bare backbone, whose features then stay as they are.

    Args:
        network: network to fill.
        path: state dict of a training of this network, or whatever `load_backbone` takes.

    Raises:
        FileNotFoundError: no file at ``path``.
        ValueError: the file fits neither the network nor its encoder.
    """
    path = Path(path)
    state = read_state(path)
    if not isinstance(state, dict) or not any(str(key).startswith("change.") for key in state):
        load_backbone(network.encoder, path)
        return network
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(
            f"the weights in {path.name} do not fit this embedding; were they trained with another rank or backbone? "
            f"({str(error)[:300]})"
        ) from error
    return network
