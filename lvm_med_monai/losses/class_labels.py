"""Loss of class scores, for classes that exclude each other and for findings that do not."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class ClassLabelLoss(nn.Module):
    """Cross-entropy of scores and labels as `read_classes` gives them.

    Without ``multi_label``: softmax cross-entropy l with the class y, weighted mean over images
    ``sum(w_y l) / sum(w_y)``. With it: mean of the binary cross-entropies of all labels that are known, where those of
    the positives are multiplied with the class's weight; a label below 0 is unknown and left out, and a batch without
    any known label gives 0.

    Args:
        multi_label: whether an image can have several classes.
        weights: (C,) of `class_weights`; None for 1.

    Example:
        >>> labels = torch.tensor([[1.0, -1.0]])
        >>> round(float(ClassLabelLoss(multi_label=True)(torch.zeros(1, 2), labels)), 4)
        0.6931
    """

    def __init__(self, multi_label: bool = False, weights: torch.Tensor | None = None) -> None:
        super().__init__()
        self.multi_label = multi_label
        self.weights = weights

    def forward(self, scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Loss of scores (B, C), before softmax or sigmoid, and labels: classes (B,), or findings (B, C).

        Raises:
            ValueError: scores and labels do not fit each other.
        """
        expected = scores.shape if self.multi_label else scores.shape[:1]
        if labels.shape != expected:
            raise ValueError(
                f"scores {tuple(scores.shape)} need labels {tuple(expected)}, got {tuple(labels.shape)}: "
                "the network's num_classes must be the number of class names"
            )
        weights = None if self.weights is None else self.weights.to(scores)
        if not self.multi_label:
            return functional.cross_entropy(scores, labels.long(), weight=weights)
        known = labels >= 0
        each = functional.binary_cross_entropy_with_logits(
            scores, labels.clamp(min=0).to(scores), pos_weight=weights, reduction="none"
        )
        return (each * known).sum() / known.sum().clamp(min=1)
