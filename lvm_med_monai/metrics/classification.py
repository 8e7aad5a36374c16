"""Accuracy, quadratic kappa, area under the ROC curve and average precision of classifiers, with stated edge rules.

Predictions are probabilities, one a class: from softmax (several classes, one of them true; label: its index) or from
sigmoid (``multi_label``; label: 0 or 1 of every class). A label of -1 means "not known" and is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine
from scipy.stats import rankdata

from lvm_med_monai.data.unknown import UNKNOWN
from lvm_med_monai.metrics.cases import CaseMetric, CaseStatistic, class_names, mean, mean_of_cases, named


def auroc(scores: np.ndarray, truth: np.ndarray) -> float:
    """Area under the ROC curve: the chance that a positive scores higher than a negative, ties counting half.

    Computed from ranks (Mann-Whitney U), so it equals the area under the empirical curve.

    Args:
        scores: shape (N,).
        truth: 1 positive, 0 negative, -1 left out; shape (N,).

    Returns:
        Area in [0, 1]; NaN without a positive or without a negative.
    """
    scores, truth = scores[truth != UNKNOWN], truth[truth != UNKNOWN]
    positive = truth == 1
    positives, negatives = positive.sum(), (~positive).sum()
    if positives == 0 or negatives == 0:
        return float("nan")
    wins = rankdata(scores)[positive].sum() - positives * (positives + 1) / 2
    return float(wins / (positives * negatives))


def average_precision(scores: np.ndarray, truth: np.ndarray) -> float:
    """Average precision: precision at every threshold, weighted by the recall gained there, without interpolation.

    Cases of equal score cross the threshold together. Arguments as in ``auroc``.

    Returns:
        A number in [0, 1]; NaN without a positive; 1 without a negative.
    """
    scores, truth = scores[truth != UNKNOWN], truth[truth != UNKNOWN]
    order = np.argsort(-scores, kind="stable")
    found = np.cumsum(truth[order] == 1)
    if not len(found) or found[-1] == 0:
        return float("nan")
    last = np.append(np.diff(scores[order]) != 0, True)  # of the cases that share a score
    precision = (found / np.arange(1, len(found) + 1))[last]
    return float((precision * np.diff(found[last], prepend=0)).sum() / found[-1])


def quadratic_kappa(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Cohen's kappa of grades with squared distances as weights: 1 is agreement, 0 is chance.

    ``1 - sum((p_i - t_i)^2) / N / mean over all pairs (i, j) of (p_i - t_j)^2``.

    Args:
        predicted: grades, shape (N,).
        truth: grades, -1 left out, shape (N,).

    Returns:
        A number in [-1, 1]; NaN without cases and where prediction and truth hold one and the same grade alone.
    """
    predicted, truth = predicted[truth != UNKNOWN].astype(np.float64), truth[truth != UNKNOWN].astype(np.float64)
    if not len(truth):
        return float("nan")
    observed = np.mean((predicted - truth) ** 2)
    expected = predicted.var() + truth.var() + (predicted.mean() - truth.mean()) ** 2
    return float(1 - observed / expected) if expected > 0 else float("nan")


class ScoreMetric(CaseMetric):
    """Metric of class probabilities; see the module for what predictions and labels are.

    Besides what ``CaseMetric`` publishes, ``engine.state.scored_cases[name]`` holds all probabilities (N, C) and labels
    (N,) or (N, C).

    Args:
        classes: names of the classes, in the order of the probabilities.
        multi_label: whether every class is true or false by itself.
        output_transform: gives lists of probabilities (C,) and of labels; ``from_engine(["pred", "label"])`` if none.
        save_details: whether to publish the cases too.
    """

    def __init__(
        self,
        classes: Sequence[str] | None = None,
        multi_label: bool = False,
        output_transform: Callable[[Any], Any] | None = None,
        save_details: bool = True,
    ) -> None:
        super().__init__(classes, output_transform, save_details)
        self.multi_label = multi_label

    def row(self, pred: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Probabilities and label of a case, one after the other.

        Raises:
            ValueError: not probabilities, not as many as classes, or a label outside its range.
        """
        scores, truth = pred.flatten().float(), label.flatten().to(device=pred.device, dtype=torch.float32)
        count = len(class_names(self.classes, len(scores)))
        if not ((scores >= -1e-6) & (scores <= 1 + 1e-6)).all():
            raise ValueError("predictions must be probabilities in [0, 1]: end with softmax or sigmoid, check for NaN")
        needed, highest = (count, 1) if self.multi_label else (1, count - 1)
        if len(truth) != needed or not torch.isin(truth, torch.arange(UNKNOWN, highest + 1, device=truth.device)).all():
            kind = f"{needed} labels of 0, 1 or -1" if self.multi_label else f"a label from 0 to {highest}, or -1"
            raise ValueError(f"{count} classes need {kind} a case, got {truth.tolist()}")
        return torch.cat([scores, truth])

    def split(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities (N, C) and labels, (N,) or (N, C), of rows."""
        if self.multi_label:
            half = rows.shape[1] // 2
            return rows[:, :half], rows[:, half:]
        return rows[:, :-1], rows[:, -1]

    def details(self, rows: torch.Tensor) -> torch.Tensor:
        """Probabilities of every case."""
        return rows[:, : rows.shape[1] // 2] if self.multi_label else rows[:, :-1]

    def _publish(self, engine: Engine, rows: torch.Tensor, statistic: CaseStatistic) -> None:
        super()._publish(engine, rows, statistic)
        if not hasattr(engine.state, "scored_cases"):
            engine.state.scored_cases = {}
        engine.state.scored_cases[self._name] = self.split(rows.numpy())


class _CurveMetric(ScoreMetric):
    """Metric of each class against the rest."""

    measure: Callable[[np.ndarray, np.ndarray], float]

    def statistic(self, name: str, rows: np.ndarray) -> CaseStatistic:
        """Measure of every class, and the mean of those that are defined."""
        scores, labels = self.split(rows)
        truth = labels if self.multi_label else one_vs_rest(labels, scores.shape[1])
        names = class_names(self.classes, scores.shape[1])

        def compute(cases: np.ndarray) -> dict[str, float]:
            values = np.array([type(self).measure(s[cases], t[cases]) for s, t in zip(scores.T, truth.T, strict=True)])
            return named(name, float(mean(values)), names, values)

        return CaseStatistic(len(rows), compute)


class AreaUnderROC(_CurveMetric):
    """``auroc`` of every class against the rest; the mean leaves out classes without positives or without negatives."""

    measure = staticmethod(auroc)


class AveragePrecision(_CurveMetric):
    """``average_precision`` of every class against the rest; the mean leaves out classes without positives."""

    measure = staticmethod(average_precision)


class Accuracy(ScoreMetric):
    """Share of right answers: the most probable class (the first of equals), or ``multi_label`` each class at 0.5."""

    def statistic(self, name: str, rows: np.ndarray) -> CaseStatistic:
        """Mean over cases."""
        return mean_of_cases(name, self._right(*self.split(rows)), self.classes if self.multi_label else None)

    def details(self, rows: torch.Tensor) -> torch.Tensor:
        """1 for right, 0 for wrong, NaN for not known: one column, ``multi_label`` one a class."""
        return torch.from_numpy(self._right(*self.split(rows.numpy())))

    def _right(self, scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
        predicted = (scores >= 0.5) if self.multi_label else scores.argmax(1)
        right = np.where(labels == UNKNOWN, np.nan, predicted == labels)
        return right if self.multi_label else right[:, None]


class QuadraticKappa(ScoreMetric):
    """``quadratic_kappa`` of the most probable grade; the classes are grades in rising order."""

    def statistic(self, name: str, rows: np.ndarray) -> CaseStatistic:
        """One number of all cases."""
        scores, labels = self.split(rows)
        predicted = scores.argmax(1)
        return CaseStatistic(len(rows), lambda cases: {name: quadratic_kappa(predicted[cases], labels[cases])})


def one_vs_rest(labels: np.ndarray, classes: int) -> np.ndarray:
    """Labels (N,) as a table (N, C) of 1 for the true class and 0 for others; a label of -1 fills its row."""
    return np.where(labels[:, None] == UNKNOWN, UNKNOWN, labels[:, None] == np.arange(classes))
