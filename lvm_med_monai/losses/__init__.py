"""Training losses: graph matching, and the contrastive baseline."""

from __future__ import annotations

from lvm_med_monai.losses.baselines import NTXentLoss
from lvm_med_monai.losses.class_labels import ClassLabelLoss
from lvm_med_monai.losses.clusters import spherical_k_means
from lvm_med_monai.losses.graph_matching import GraphMatchingLoss, MatchingStatistics, matching_loss
from lvm_med_monai.losses.presets import GraphMatchingRecipe, preset
from lvm_med_monai.losses.requirements import require_lightly
from lvm_med_monai.losses.supervised_contrastive import SupervisedContrastiveLoss

__all__ = [
    "ClassLabelLoss",
    "GraphMatchingLoss",
    "GraphMatchingRecipe",
    "MatchingStatistics",
    "NTXentLoss",
    "SupervisedContrastiveLoss",
    "matching_loss",
    "preset",
    "require_lightly",
    "spherical_k_means",
]
