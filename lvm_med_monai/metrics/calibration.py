"""Whether a classifier is as often right as it says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lvm_med_monai.data.unknown import UNKNOWN
from lvm_med_monai.metrics.cases import mean


@dataclass(frozen=True)
class Reliability:
    """Answers by confidence.

    Attributes:
        edges: of the bins of confidence, shape (bins + 1,); a bin holds its upper edge, the first also 0.
        counts: answers in each bin.
        confidence: mean confidence of each bin; NaN if empty.
        frequency: share of right answers (of positives, for several labels) in each bin; NaN if empty.
        error: expected calibration error, ``sum(counts / N * |frequency - confidence|)``; NaN without answers.
    """

    edges: np.ndarray
    counts: np.ndarray
    confidence: np.ndarray
    frequency: np.ndarray
    error: float


def reliability(scores: np.ndarray, labels: np.ndarray, bins: int = 10) -> Reliability:
    """Confidence against truth in bins of equal width.

    Source of the error: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.

    Args:
        scores: probabilities (N, C).
        labels: index of the true class (N,), then an answer is the most probable class and its confidence that
            probability; or 0 and 1 of every class (N, C), then every class of every case is an answer and its
            confidence the probability of 1. Labels of -1 are left out.
        bins: number of bins of [0, 1].
    """
    if labels.ndim == 1:
        confidence, right = scores.max(1), scores.argmax(1) == labels
    else:
        confidence, right = scores.ravel(), labels.ravel() == 1
    known = labels.ravel() != UNKNOWN
    confidence, right = confidence[known], right[known]
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    chosen = [place == index for index in range(bins)]
    counts = np.array([mask.sum() for mask in chosen])
    means = np.array([float(mean(confidence[mask])) for mask in chosen])
    frequency = np.array([float(mean(right[mask].astype(np.float64))) for mask in chosen])
    gaps = np.where(counts > 0, np.abs(frequency - means), 0)
    error = float((counts * gaps).sum() / counts.sum()) if counts.sum() else float("nan")
    return Reliability(edges, counts, means, frequency, error)
