"""Whether embeddings bring images of one label together, judged among the evaluated images themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lvm_med_monai.data.unknown import UNKNOWN
from lvm_med_monai.metrics.cases import CaseMetric, CaseStatistic, mean_of_cases

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]


def cosines_to_others(features: Floats, patients: Integers) -> Floats:
    """Cosines (N, N) of all pairs; -inf for an image with itself and with others of its patient.

    Args:
        features: embeddings (N, F), of any length; one of zeros has cosine 0 with all.
        patients: (N,) number of each image's patient; -1 for an image whose patient is not known.
    """
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    cosines = unit @ unit.T
    same = (patients[:, None] == patients[None]) & (patients[:, None] != UNKNOWN)
    cosines[same | np.eye(len(features), dtype=bool)] = -np.inf
    return cosines


def neighbour_hits(features: Floats, labels: Integers, patients: Integers, k: int) -> NDArray[np.float64]:
    """1 for images whose label wins among their k nearest others, 0 for the rest, NaN where that cannot be judged.

    Each neighbour has one vote; of labels with equal votes the one with the nearest neighbour wins. Neighbours are
    other images of other patients with a known label, all of them if there are fewer than k. NaN for an image without a
    label, or without any other image of its label.

    Args:
        features: embeddings (N, F).
        labels: (N,) numbers, -1 for unknown.
        patients: see `cosines_to_others`.
        k: neighbours that vote.
    """
    cosines = cosines_to_others(features, patients)
    cosines[:, labels == UNKNOWN] = -np.inf
    hits = np.full(len(labels), np.nan)
    for query in np.flatnonzero(_judgeable(cosines, labels)):
        nearest = np.argsort(-cosines[query], kind="stable")[:k]
        nearest = nearest[np.isfinite(cosines[query][nearest])]
        names, first, votes = np.unique(labels[nearest], return_index=True, return_counts=True)
        best = min(range(len(names)), key=lambda place: (-votes[place], first[place]))
        hits[query] = names[best] == labels[query]
    return hits


def ranking_precision(features: Floats, labels: Integers, patients: Integers) -> NDArray[np.float64]:
    """Average precision of each image's ranking of all others by cosine, those of its label being right.

    ``mean over right others r of (right others ranked up to r) / rank(r)``; NaN as in `neighbour_hits`, whose arguments
    these are.
    """
    cosines = cosines_to_others(features, patients)
    cosines[:, labels == UNKNOWN] = -np.inf
    values = np.full(len(labels), np.nan)
    for query in np.flatnonzero(_judgeable(cosines, labels)):
        order = np.argsort(-cosines[query], kind="stable")
        order = order[np.isfinite(cosines[query][order])]
        right = labels[order] == labels[query]
        ranks = np.flatnonzero(right) + 1
        values[query] = np.mean(np.arange(1, len(ranks) + 1) / ranks)
    return values


def _judgeable(cosines: Floats, labels: Integers) -> NDArray[np.bool_]:
    """Whether an image has a label, and another image that counts has it too."""
    right = (labels[:, None] == labels[None]) & np.isfinite(cosines)
    return (labels != UNKNOWN) & right.any(axis=1)


class _RetrievalMetric(CaseMetric):
    """Metric of embeddings (F,), and labels (2,): the numbers of label and patient, -1 for unknown.

    Args:
        output_transform: gives lists of both; ``from_engine(["pred", "label"])`` if none.
        save_details: whether to publish the images' numbers too.
    """

    def __init__(self, output_transform: Callable[[Any], Any] | None = None, save_details: bool = True) -> None:
        super().__init__(None, output_transform, save_details)

    def row(self, pred: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Embedding, label and patient of an image, one after the other."""
        return torch.cat([pred.flatten().float(), label.to(device=pred.device, dtype=torch.float32)])

    def values(self, features: Floats, labels: Integers, patients: Integers) -> NDArray[np.float64]:
        """A number for each image."""
        raise NotImplementedError

    def statistic(self, name: str, rows: np.ndarray) -> CaseStatistic:
        """Mean over the images that can be judged; a bootstrap draws these, and does not rank anew."""
        return mean_of_cases(name, self._values(rows))

    def details(self, rows: torch.Tensor) -> torch.Tensor:
        """The number of each image, one column."""
        return torch.from_numpy(self._values(rows.numpy()))[:, None]

    def _values(self, rows: np.ndarray) -> NDArray[np.float64]:
        features, labels, patients = rows[:, :-2], rows[:, -2], rows[:, -1]
        return self.values(features.astype(np.float32), labels.astype(np.int64), patients.astype(np.int64))


class NeighbourAccuracy(_RetrievalMetric):
    """Share of images whose label wins among their nearest others, see `neighbour_hits`.

    Args:
        k: neighbours that vote.
        output_transform: see `RetrievalPrecision`.
        save_details: whether to publish the images' numbers too.

    Raises:
        ValueError: ``k`` is below 1.
    """

    def __init__(
        self, k: int = 5, output_transform: Callable[[Any], Any] | None = None, save_details: bool = True
    ) -> None:
        if k < 1:
            raise ValueError(f"at least one neighbour votes, got k = {k}")
        super().__init__(output_transform, save_details)
        self.k = k

    def values(self, features: Floats, labels: Integers, patients: Integers) -> NDArray[np.float64]:
        """Hits."""
        return neighbour_hits(features, labels, patients, self.k)


class RetrievalPrecision(_RetrievalMetric):
    """Mean average precision of retrieval: the mean of `ranking_precision` over images.

    Args:
        output_transform: gives lists of embeddings (F,) and of labels (2,), the numbers of label and patient, -1 for
            unknown; ``from_engine(["pred", "label"])`` if none.
        save_details: whether to publish the images' numbers too.
    """

    def values(self, features: Floats, labels: Integers, patients: Integers) -> NDArray[np.float64]:
        """Average precisions."""
        return ranking_precision(features, labels, patients)
