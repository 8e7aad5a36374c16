"""The little that MONAI's engines lack for pretraining on two views."""

from lvm_med_monai.engines.checks import check_batches
from lvm_med_monai.engines.chunks import ChunkedInferer
from lvm_med_monai.engines.crops import CropTargets, PrepareCrops, PrepareMaskedCrops
from lvm_med_monai.engines.detection import PrepareBoxes, SumOfLosses
from lvm_med_monai.engines.masked import MaskedDistillationObjective
from lvm_med_monai.engines.objectives import LocalFeatureObjective, MomentumContrastObjective, Objective, PairObjective
from lvm_med_monai.engines.prototypes import ClusterObjective, SelfDistillationObjective, SwappedAssignmentObjective
from lvm_med_monai.engines.schedules import Progress, cosine, warm_up
from lvm_med_monai.engines.two_views import GraphMatchingObjective, PrepareTwoViews

__all__ = [
    "ChunkedInferer",
    "ClusterObjective",
    "CropTargets",
    "GraphMatchingObjective",
    "LocalFeatureObjective",
    "MaskedDistillationObjective",
    "MomentumContrastObjective",
    "Objective",
    "PairObjective",
    "PrepareBoxes",
    "PrepareCrops",
    "PrepareMaskedCrops",
    "PrepareTwoViews",
    "Progress",
    "SelfDistillationObjective",
    "SumOfLosses",
    "SwappedAssignmentObjective",
    "check_batches",
    "cosine",
    "warm_up",
]
