"""Heads that turn pooled features into the embedding on which graphs are built."""

from __future__ import annotations

import torch
from torch import nn


class Projector(nn.Module):
    """The paper's ``h_phi``: pooled features to an embedding of 128 numbers.

    One linear map as in the paper (Appendix A), or a perceptron of one hidden layer with batch normalisation.

    Args:
        in_features: channels of the pooled features.
        out_features: size F of the embedding.
        hidden_features: size of the hidden layer; None for the linear map.

    Note:
        The paper gives the size of the map and leaves open whether it is linear; it is here by default.
    """

    def __init__(self, in_features: int, out_features: int = 128, hidden_features: int | None = None) -> None:
        super().__init__()
        if hidden_features is None:
            self.layers: nn.Module = nn.Linear(in_features, out_features)
        else:
            self.layers = nn.Sequential(
                nn.Linear(in_features, hidden_features),
                nn.BatchNorm1d(hidden_features),
                nn.ReLU(),
                nn.Linear(hidden_features, out_features),
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, in_features) to (B, out_features)."""
        return self.layers(x)
