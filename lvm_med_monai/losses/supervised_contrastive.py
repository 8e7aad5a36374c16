"""Contrast of images with the same label against all others of a batch."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class SupervisedContrastiveLoss(nn.Module):
    """Mean over anchors i of ``-1 / |P(i)| sum_{p in P(i)} log(exp(z_i z_p / t) / sum_{a != i} exp(z_i z_a / t))``.

    z are unit embeddings, P(i) the other images of i's label. Anchors without any are left out; a batch without pairs
    gives 0. Labels below 0 belong to no group.

    Args:
        temperature: t, positive.

    References:
        Khosla et al., Supervised Contrastive Learning, NeurIPS 2020, arXiv:2004.11362, equation 2.
    """

    def __init__(self, temperature: float = 0.1) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"the temperature must be positive, got {temperature}")
        self.temperature = temperature

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Loss of embeddings (B, F), of any length, and labels (B,).

        Labels (B, 2), as `read_named_labels` has them, hold the number of a patient too, which does not matter here.
        """
        labels = labels[:, 0] if labels.ndim == 2 else labels
        unit = functional.normalize(embeddings.float(), dim=1)
        self_pair = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
        logits = (unit @ unit.T / self.temperature).masked_fill(self_pair, -torch.inf)
        log_share = (logits - logits.logsumexp(1, keepdim=True)).masked_fill(self_pair, 0)
        positive = (labels[:, None] == labels[None]) & (labels[:, None] >= 0) & ~self_pair
        count = positive.sum(1)
        each = -(log_share * positive).sum(1) / count.clamp(min=1)
        return each[count > 0].sum() / (count > 0).sum().clamp(min=1)
