"""Training losses: graph matching, and the contrastive baseline."""

from __future__ import annotations

from lvm_med_monai.losses.baselines import NTXentLoss
from lvm_med_monai.losses.graph_matching import GraphMatchingLoss, MatchingStatistics, matching_loss
from lvm_med_monai.losses.presets import GraphMatchingRecipe, preset

__all__ = [
    "GraphMatchingLoss",
    "GraphMatchingRecipe",
    "MatchingStatistics",
    "NTXentLoss",
    "matching_loss",
    "preset",
]
