"""Loss of a self-supervised baseline: NT-Xent, as in SimCLR."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import cross_entropy, normalize


class NTXentLoss(nn.Module):
    """Pick the other view of each image among all 2 B - 1 other images of two views.

    ``mean over both views of -log(exp(cos(z_i, z_i') / t) / sum over j != i of exp(cos(z_i, z_j) / t))``. Computed in
    float32 (float64 for float64 features), also under autocast.

    Note:
        Same value as ``monai.losses.ContrastiveLoss``, which broadcasts all pairs to shape (2 B, 2 B, C) and overflows
        at temperatures below 0.0113; here one matrix product and a stable softmax.

    Args:
        temperature: t, positive.

    Raises:
        ValueError: temperature is not positive.

    References:
        SimCLR, arXiv 2002.05709, Eq. 1.
    """

    def __init__(self, temperature: float = 0.1) -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"temperature must be positive, got {temperature}")
        self.temperature = temperature

    def forward(self, z_s: torch.Tensor, z_t: torch.Tensor) -> torch.Tensor:
        """Return the loss of projected features of two views of the same images, both of shape (B, C)."""
        if z_s.ndim != 2 or z_s.shape != z_t.shape:
            raise ValueError(f"both views must have shape (B, C), got {tuple(z_s.shape)} and {tuple(z_t.shape)}")
        with torch.autocast(z_s.device.type, enabled=False):
            z = torch.cat([z_s, z_t])
            z = normalize(z if z.dtype == torch.float64 else z.float(), dim=1)
            itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
            similarity = (z @ z.T / self.temperature).masked_fill(itself, -torch.inf)
            other_view = torch.arange(len(z), device=z.device).roll(len(z_s))
            return cross_entropy(similarity, other_view)
