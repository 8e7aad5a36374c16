"""Assignment problems of every kind, and what is asked of a solution."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment


def cosine(rng: np.random.Generator, n: int, m: int) -> np.ndarray:
    """Minus the cosines of two noisy views of the same features."""
    base = rng.normal(size=(max(n, m), 8))
    s, t = (base[:size] + 0.7 * rng.normal(size=(size, 8)) for size in (n, m))
    return -(s @ t.T) / np.linalg.norm(s, axis=1)[:, None] / np.linalg.norm(t, axis=1)


FAMILIES: dict[str, Callable[[np.random.Generator, int, int], np.ndarray]] = {
    "uniform": lambda r, n, m: r.random((n, m)),
    "normal": lambda r, n, m: r.normal(size=(n, m)),
    "cosine": cosine,
    "gumbel": lambda r, n, m: cosine(r, n, m) - r.gumbel(size=(n, m)),
    "integers with ties": lambda r, n, m: r.integers(0, 4, (n, m)).astype(float),
    "zero or minus one": lambda r, n, m: -r.integers(0, 2, (n, m)).astype(float),
    "all equal": lambda r, n, m: np.full((n, m), 3.0),
    "rank one": lambda r, n, m: np.outer(r.normal(size=n), r.normal(size=m)),
    "rank two": lambda r, n, m: r.normal(size=(n, 2)) @ r.normal(size=(2, m)),
    "Machol and Wien": lambda r, n, m: np.outer(1.0 + np.arange(n), 1.0 + np.arange(m)),
    "large": lambda r, n, m: 1e6 * r.normal(size=(n, m)),
    "large offset, small differences": lambda r, n, m: 1000 + 1e-3 * r.random((n, m)),
    "twelve decades": lambda r, n, m: 10.0 ** r.uniform(-6, 6, (n, m)),
}


def batch(family: str, count: int, n: int, m: int, seed: int = 0) -> np.ndarray:
    """Costs of a family, shape (count, n, m), float64."""
    rng = np.random.default_rng([seed, list(FAMILIES).index(family), n, m])
    return np.stack([FAMILIES[family](rng, n, m) for _ in range(count)])


def forbidden(count: int, n: int, m: int, share: float = 0.4, seed: int = 0) -> np.ndarray:
    """Normal costs of which a share is +inf, shape (count, n, m)."""
    rng = np.random.default_rng([seed, n, m])
    cost = rng.normal(size=(count, n, m))
    cost[rng.random(cost.shape) < share] = np.inf
    return cost


def feasible(cost: np.ndarray) -> bool:
    """SciPy's verdict on one problem."""
    try:
        linear_sum_assignment(cost)
    except ValueError:
        return False
    return True


def check(cost: np.ndarray, v: np.ndarray) -> None:
    """``v`` is injective and complete, and in float64 as cheap as SciPy's assignment but for the order of the sum."""
    rows = np.flatnonzero(v >= 0)
    assert (v[v < 0] == -1).all()
    assert len(rows) == len(set(v[rows].tolist())) == min(cost.shape)
    best = cost[linear_sum_assignment(cost)].sum()
    assert cost[rows, v[rows]].sum() == pytest.approx(best, rel=1e-12, abs=1e-12)


def check_prices(cost: np.ndarray, v: np.ndarray, u: np.ndarray, p: np.ndarray, tolerance: float) -> None:
    """Complementary slackness, and the prices add up to the cost; the tolerance is relative to the numbers."""
    finite = np.abs(cost[np.isfinite(cost)]).max(initial=0.0)
    tolerance *= max(finite, np.abs(u).max(initial=0.0), np.abs(p).max(initial=0.0), 1e-300)
    rows = np.flatnonzero(v >= 0)
    reduced = cost - u[:, None] - p
    assert reduced.min(initial=0.0) >= -tolerance
    assert np.abs(reduced[rows, v[rows]]).max(initial=0.0) <= tolerance
    n, m = cost.shape
    longer, taken = (p, v[rows]) if n < m else (u, rows)
    if n != m:
        assert longer.max() <= tolerance
        assert (np.delete(longer, taken) == 0).all()
    assert abs(u.sum() + p.sum() - cost[rows, v[rows]].sum()) <= (n + m) * tolerance
