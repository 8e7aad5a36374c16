"""The network of pretraining: two views of a batch in, embeddings and graphs of both views out."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import nn

from lvm_med_monai.networks.resnet import ResNetEncoder


class TwoViewOutput(NamedTuple):
    """Everything that a pretraining loss may look at; ``s`` is the source view and ``t`` the target view.

    Attributes:
        z_s: projected embeddings, shape (B, F).
        z_t: the same of the target view.
        map_s: last feature map, shape (B, C, R, S).
        map_t: the same of the target view.
        graphs_s: graphs on ``z_s``, as the graph encoder returns them; None without one.
        graphs_t: the same of the target view.
    """

    z_s: torch.Tensor
    z_t: torch.Tensor
    map_s: torch.Tensor
    map_t: torch.Tensor
    graphs_s: Any = None
    graphs_t: Any = None


class PretrainingNetwork(nn.Module):
    """Backbone, projector and graph encoder in one module, so that one optimiser and one DDP wrapper hold them all.

    Args:
        encoder: backbone whose ``features`` returns maps and pooled features.
        projector: pooled features (B, C) to embeddings (B, F).
        graph_encoder: embeddings of one view to its graphs; None for losses that need none.
    """

    def __init__(self, encoder: ResNetEncoder, projector: nn.Module, graph_encoder: nn.Module | None = None) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = projector
        self.graph_encoder = graph_encoder

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """Projected embeddings (B, F) of images (B, 3, H, W)."""
        return self.projector(self.encoder.features(images).pooled)

    def forward(self, views: torch.Tensor) -> TwoViewOutput:
        """Encode both views in one pass, so that batch statistics are shared.

        Args:
            views: the B source views, then the B target views of the same images, shape (2B, 3, H, W).

        Raises:
            ValueError: the number of views is odd.
        """
        if views.shape[0] % 2:
            raise ValueError(f"expected source and target views stacked along the batch, got {views.shape[0]} images")
        maps, pooled = self.encoder.features(views)
        z_s, z_t = self.projector(pooled).chunk(2)
        map_s, map_t = maps[-1].chunk(2)
        if self.graph_encoder is None:
            return TwoViewOutput(z_s, z_t, map_s, map_t)
        return TwoViewOutput(z_s, z_t, map_s, map_t, self.graph_encoder(z_s), self.graph_encoder(z_t))
