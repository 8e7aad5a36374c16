"""Active learning: entropies by hand, and greedy choices that can be told without a computer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as arrays
from scipy.stats import entropy

from lvm_med_monai.apps.label.selection import entropies_of_slices, evenly, mean_entropy, pick_diverse_uncertain

NONE = np.empty((0, 2))


@pytest.mark.parametrize(
    ("probabilities", "expected"),
    [
        ([1.0, 0.0, 0.0], 0),
        ([1 / 3, 1 / 3, 1 / 3], 1),
        ([0.5, 0.5, 0.0], np.log(2) / np.log(3)),
        ([[0.5]], 1),
        ([[0.0]], 0),
        ([0.9, 0.9], entropy([0.9, 0.1]) / np.log(2)),
        ([[0.5, 1.0], [0.5, 0.0]], 0.5),
    ],
    ids=["sure", "unsure", "two of three", "one class", "one class, sure", "not exclusive", "mean of positions"],
)
def test_entropy(probabilities: list[float], expected: float) -> None:
    assert mean_entropy(np.array(probabilities)) == pytest.approx(expected, abs=1e-9)


@given(arrays.arrays(np.float64, (4, 6), elements=st.floats(0.01, 1)))
@settings(deadline=None, max_examples=40)
def test_entropy_agrees_with_scipy(weights: np.ndarray) -> None:
    p = weights / weights.sum(axis=0)
    assert mean_entropy(p) == pytest.approx(entropy(p, axis=0).mean() / np.log(4))


def test_entropy_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one"):
        mean_entropy(np.empty((2, 0)))


ANGLES = np.deg2rad([0, 5, 90, 180])
CIRCLE = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)


@pytest.mark.parametrize(
    ("uncertainty", "covered", "expected"),
    [
        ([1, 1, 1, 1], CIRCLE[:1], [3, 2, 1, 0]),
        ([1, 1, 1, 0.1], CIRCLE[:1], [2, 3, 1, 0]),
        ([0.2, 0.9, 0.5, 0.5], NONE, [1, 3, 2, 0]),
        ([0, 0, 0, 0], CIRCLE[:1], [3, 2, 1, 0]),
        ([1, 1, 1, 1], CIRCLE, [3, 2, 1, 0]),
    ],
    ids=["farthest first", "uncertainty weighs", "nothing covered: most uncertain first", "all sure", "all covered"],
)
def test_order(uncertainty: list[float], covered: np.ndarray, expected: list[int]) -> None:
    chosen = pick_diverse_uncertain(CIRCLE, np.array(uncertainty, dtype=float), covered, 4)
    if covered is CIRCLE:
        assert sorted(chosen) == [0, 1, 2, 3]
    else:
        assert chosen == expected


def test_lengths_of_features_do_not_count() -> None:
    scaled = CIRCLE * np.array([[1], [100], [0.01], [7]])
    weights = np.array([0.3, 0.8, 0.5, 0.6])
    assert pick_diverse_uncertain(scaled, weights, NONE, 4) == pick_diverse_uncertain(CIRCLE, weights, NONE, 4)


def test_twins_are_not_taken_one_after_the_other() -> None:
    features = np.array([[1, 0], [1, 0], [0, 1.0]])
    assert pick_diverse_uncertain(features, np.array([0.9, 0.9, 0.2]), NONE, 2) == [0, 2]


@pytest.mark.parametrize(("count", "length"), [(0, 0), (2, 2), (9, 4)])
def test_as_many_as_there_are(count: int, length: int) -> None:
    chosen = pick_diverse_uncertain(CIRCLE, np.ones(4), NONE, count)
    assert len(set(chosen)) == len(chosen) == length


def test_no_candidates_no_choice() -> None:
    assert pick_diverse_uncertain(np.empty((0, 2)), np.empty(0), CIRCLE, 1) == []


@pytest.mark.parametrize(
    ("features", "uncertainty", "covered", "message"),
    [
        (CIRCLE, np.ones(3), NONE, "as many uncertainties"),
        (CIRCLE, np.ones(4), np.ones((2, 3)), "covered"),
        (CIRCLE[0], np.ones(2), NONE, "features are"),
        (CIRCLE * np.nan, np.ones(4), NONE, "finite"),
        (CIRCLE, -np.ones(4), NONE, "negative"),
    ],
)
def test_wrong_input(features: np.ndarray, uncertainty: np.ndarray, covered: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pick_diverse_uncertain(features, uncertainty, covered, 1)


@pytest.mark.parametrize(
    ("length", "most", "expected"),
    [(1, 16, [0]), (3, 16, [0, 1, 2]), (10, 2, [2, 7]), (7, 3, [1, 3, 5]), (0, 4, [])],
)
def test_slices_are_spaced_evenly(length: int, most: int, expected: list[int]) -> None:
    assert evenly(length, most).tolist() == expected


def test_a_slice_has_the_entropy_of_its_place() -> None:
    chances = np.zeros((2, 3, 3, 4))
    chances[0] = 1
    chances[:, :, :, 2] = 0.5
    assert entropies_of_slices(chances, np.arange(4), 4).tolist() == [0, 0, 1, 0]
    assert entropies_of_slices(chances, np.array([4, 5, 7]), 8).tolist() == [1, 1, 0]


def test_one_answer_counts_for_every_slice() -> None:
    assert entropies_of_slices(np.array([0.5, 0.5]), np.arange(3), 3).tolist() == [1, 1, 1]
    assert entropies_of_slices(np.full((2, 4, 4), 0.5), np.array([0]), 1).tolist() == [1]
