"""Measures of matching, of collapse, and of answers to tasks, with their intervals."""

from lvm_med_monai.metrics.boxes import BoxAveragePrecision
from lvm_med_monai.metrics.cases import CaseMetric, CaseStatistic, mean_of_cases
from lvm_med_monai.metrics.classification import (
    Accuracy,
    AreaUnderROC,
    AveragePrecision,
    QuadraticKappa,
    auroc,
    average_precision,
    quadratic_kappa,
)
from lvm_med_monai.metrics.embeddings import effective_rank, embedding_spread, matching_accuracy, retrieval_accuracy
from lvm_med_monai.metrics.intervals import Interval, bootstrap_intervals
from lvm_med_monai.metrics.matching_protocol import MatchingProtocol, ProtocolResult
from lvm_med_monai.metrics.neighbours import neighbour_accuracy
from lvm_med_monai.metrics.retrieval import NeighbourAccuracy, RetrievalPrecision
from lvm_med_monai.metrics.segmentation import DiceScore, IoUScore

__all__ = [
    "Accuracy",
    "AreaUnderROC",
    "AveragePrecision",
    "BoxAveragePrecision",
    "CaseMetric",
    "CaseStatistic",
    "DiceScore",
    "Interval",
    "IoUScore",
    "MatchingProtocol",
    "NeighbourAccuracy",
    "ProtocolResult",
    "QuadraticKappa",
    "RetrievalPrecision",
    "auroc",
    "average_precision",
    "bootstrap_intervals",
    "effective_rank",
    "embedding_spread",
    "matching_accuracy",
    "mean_of_cases",
    "neighbour_accuracy",
    "quadratic_kappa",
    "retrieval_accuracy",
]
