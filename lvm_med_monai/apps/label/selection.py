"""Which slices to annotate next: those that a model is unsure of and that differ from those annotated already."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def mean_entropy(probabilities: NDArray[np.floating]) -> float:
    """Mean entropy of predictions, in [0, 1].

    ``-sum_c p_c log p_c / log C``, averaged over positions. One channel is the probability of a single class: its
    complement is the second.

    Args:
        probabilities: (C, ...) with values in [0, 1]; channels that do not exclude one another (their sums differ
            from 1) count as C predictions of two classes each.
    """
    p = np.clip(np.asarray(probabilities, dtype=np.float64), 0, 1)
    if p.ndim == 0 or p.size == 0:
        raise ValueError(f"entropy needs at least one probability, got an array of shape {p.shape}")
    exclusive = len(p) > 1 and np.allclose(p.sum(axis=0), 1, atol=1e-3)
    if exclusive:
        return float(-_p_log_p(p).sum(axis=0).mean() / np.log(len(p)))
    return float(-(_p_log_p(p) + _p_log_p(1 - p)).mean() / np.log(2))


def pick_diverse_uncertain(
    features: NDArray[np.floating],
    uncertainty: NDArray[np.floating],
    covered: NDArray[np.floating],
    count: int,
) -> list[int]:
    """Greedy k-centre weighted by uncertainty.

    Each step takes the candidate with the largest ``uncertainty * distance``, the distance being that of unit-length
    features to the nearest slice that is covered: annotated, or taken in an earlier step. If nothing is covered the
    first step takes the most uncertain candidate. On a tie, and so where every product is 0, the more distant
    candidate wins, then the more uncertain one, then the earlier one. k-centre greedy: Sener and Savarese, Active
    Learning for Convolutional Neural Networks: A Core-Set Approach, ICLR 2018.

    Args:
        features: (N, F), one row a candidate; rows of zeros stay zeros.
        uncertainty: (N,) not negative.
        covered: (M, F) features of annotated slices; M may be 0.
        count: how many to take; at most N are.

    Returns:
        Indices of candidates in the order taken.

    Raises:
        ValueError: shapes do not agree, a value is not finite, or an uncertainty is negative.
    """
    _check(features, uncertainty, covered)
    points, centres = _unit(features), _unit(covered)
    distance = np.full(len(points), np.inf if len(centres) else 1.0)
    for centre in centres:
        distance = np.minimum(distance, np.linalg.norm(points - centre, axis=1))
    taken: list[int] = []
    for _ in range(min(count, len(points))):
        product = uncertainty * distance
        order = np.lexsort((-np.arange(len(points)), uncertainty, distance, product))
        best = next(int(i) for i in order[::-1] if int(i) not in taken)
        first = not taken and not len(centres)
        taken.append(best)
        new = np.linalg.norm(points - points[best], axis=1)
        distance = new if first else np.minimum(distance, new)
    return taken


def evenly(length: int, most: int) -> NDArray[np.int64]:
    """At most ``most`` indices of 0 .. length - 1, evenly spaced, in the middle of equal parts."""
    count = min(length, most)
    return ((np.arange(count) + 0.5) * length / count).astype(np.int64)


def entropies_of_slices(
    probabilities: NDArray[np.floating], slices: NDArray[np.int64], depth: int
) -> NDArray[np.float64]:
    """Mean entropy of chosen slices.

    Args:
        probabilities: (C, W, H, D'), (C, W, H), or (C,) of a class; D' is the network's number of slices, which
            resampling may have changed.
        slices: indices in the image as it is stored.
        depth: number of slices that is stored.

    Returns:
        As many values as slices; an answer for the whole image counts for each.
    """
    if probabilities.ndim < 4:
        return np.full(len(slices), mean_entropy(probabilities))
    last = probabilities.shape[-1]
    places = np.minimum((slices + 0.5) * last / max(depth, 1), last - 1).astype(int)
    return np.array([mean_entropy(probabilities[..., place]) for place in places])


def _p_log_p(p: NDArray[np.float64]) -> NDArray[np.float64]:
    return p * np.log(np.where(p > 0, p, 1))


def _unit(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    rows = np.asarray(rows, dtype=np.float64)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _check(features: NDArray[np.floating], uncertainty: NDArray[np.floating], covered: NDArray[np.floating]) -> None:
    if features.ndim != 2 or covered.ndim != 2 or (len(covered) and covered.shape[1] != features.shape[1]):
        raise ValueError(f"features are (N, F) and covered (M, F), got {features.shape} and {covered.shape}")
    if uncertainty.shape != (len(features),):
        raise ValueError(f"{len(features)} candidates need as many uncertainties, got shape {uncertainty.shape}")
    if not (np.isfinite(features).all() and np.isfinite(covered).all() and np.isfinite(uncertainty).all()):
        raise ValueError("features and uncertainties must be finite")
    if (uncertainty < 0).any():
        raise ValueError("an uncertainty is negative")
