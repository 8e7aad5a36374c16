"""The little that MONAI's engines lack for pretraining on two views."""

from lvm_med_monai.engines.checks import check_batches
from lvm_med_monai.engines.two_views import EmbeddingObjective, GraphMatchingObjective, PrepareTwoViews

__all__ = ["EmbeddingObjective", "GraphMatchingObjective", "PrepareTwoViews", "check_batches"]
