"""Certified optima of small problems, for tests and benchmarks: branch and bound on a level-1 dual bound."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, cast

import numpy as np
import torch
from numba import njit

from lvm_med_monai.matching.lap import assign
from lvm_med_monai.matching.problem import MatchingProblem
from lvm_med_monai.matching.qap.dense import DenseEdgeTerm

LARGEST = 24  # nodes; the pair costs of a graph are N^4 numbers
TOLERANCE = 1e-7  # of a certificate, relative to 1 + |score|
WEAK = 0.01  # a pass is weak if it closes less than this share of the gap
WEAK_PASSES = 3  # branch after that many weak passes in a row


class Certificate(NamedTuple):
    """Best solutions found, and what is proved about them.

    Attributes:
        v: permutations, shape (B, N), int64.
        score: their scores, shape (B,), float64.
        bound: proved upper bound of the score of any permutation, shape (B,), float64.
        certified: whether the search was complete: ``bound`` is ``score`` plus ``1e-7 (1 + |score|)``, shape (B,).
        passes: dual passes that were spent, shape (B,).
    """

    v: torch.Tensor
    score: torch.Tensor
    bound: torch.Tensor
    certified: torch.Tensor
    passes: torch.Tensor


def branch_and_bound(
    problem: MatchingProblem, incumbent: torch.Tensor | None = None, most_passes: int = 500
) -> Certificate:
    """Solve problems to proved optimality, or prove a bound within a budget.

    Args:
        problem: problems with edges, N = M <= 24, on any device; computed on the CPU.
        incumbent: permutations to beat, shape (B, N): the better they are, the earlier branches are cut. None: the
            first-order assignments.
        most_passes: most dual passes a graph, about N^2 assignment problems of N - 1 nodes each. A count and not a
            time, so that the result is reproducible.

    Raises:
        ValueError: the problem is not square, too large or of first order, or the budget is 0.

    References:
        Hahn and Grant, "Lower bounds for the quadratic assignment problem based upon a dual formulation", 1998.
    """
    batch, n, m = problem.c_v.shape
    if n != m or n > LARGEST:
        raise ValueError(f"branch and bound takes square problems of at most {LARGEST} nodes, got {(n, m)}")
    if most_passes < 1:
        raise ValueError("without a dual pass there is no bound")
    problem = problem.detach()
    incumbent = assign(-problem.c_v) if incumbent is None else incumbent
    searches = []
    for b in range(batch):
        one = problem.select(torch.tensor([b], device=problem.c_v.device))
        pairs = (DenseEdgeTerm(one).matrix / -2).view(n, n, n, n).cpu().numpy()
        costs = -one.c_v[0].double().cpu().numpy()
        searches.append(_Search(costs, pairs, incumbent[b].cpu().numpy(), most_passes))
    v = torch.tensor(np.array([search.best for search in searches]), dtype=torch.int64).view(batch, n)
    score = -torch.tensor([search.cost for search in searches], dtype=torch.float64)
    bound = -torch.tensor([min(search.target(), search.unexplored) for search in searches], dtype=torch.float64)
    certified = torch.tensor([search.unexplored >= search.target() for search in searches], dtype=torch.bool)
    passes = torch.tensor([search.passes for search in searches], dtype=torch.int64)
    return Certificate(v, score, bound, certified, passes)


class _Search:
    """Depth-first search for the permutation of least cost ``sum c[i, v_i] + sum q[i, v_i, j, v_j]``.

    A node of the tree has fixed some pairs and keeps costs of the others such that every completion costs ``bound``
    plus its remaining costs. From the first dual pass on they are at least 0; infinite ones mark what cannot belong to
    a better solution.
    """

    def __init__(self, c: np.ndarray, q: np.ndarray, incumbent: np.ndarray, most_passes: int) -> None:
        self.best = incumbent.copy()
        rows = np.arange(len(c))
        self.cost = float(c[rows, self.best].sum() + q[rows, self.best][:, rows, self.best].sum())
        self.unexplored = np.inf
        self.most_passes = most_passes
        self.passes = 0
        self.fixed = np.full(len(c), -1)
        self._explore(c.copy(), q.copy(), rows, rows, 0.0)

    def _explore(self, c: np.ndarray, q: np.ndarray, rows: np.ndarray, columns: np.ndarray, bound: float) -> None:
        if len(c) == 1:
            if bound + c[0, 0] < self.target():
                self.fixed[rows[0]] = columns[0]
                self.best, self.cost = self.fixed.copy(), float(bound + c[0, 0])
            return
        bound = self._raise_bound(c, q, bound)
        if bound >= self.target():
            return
        if self.passes >= self.most_passes:
            self.unexplored = min(self.unexplored, bound)
            return
        for i, a in _branches(c):
            child = bound + c[i, a]
            if child >= self.target():
                continue
            self.fixed[rows[i]] = columns[a]
            rest, others = np.delete(np.arange(len(c)), i), np.delete(np.arange(len(c)), a)
            tied = q[i, a] + q[:, :, i, a]
            self._explore(
                (c + tied)[np.ix_(rest, others)],
                q[np.ix_(rest, others, rest, others)],
                rows[rest],
                columns[others],
                child,
            )

    def _raise_bound(self, c: np.ndarray, q: np.ndarray, bound: float) -> float:
        """Run dual passes until they become weak; change ``c`` and ``q`` in place and return the bound."""
        weak = 0
        while self.passes < self.most_passes and weak < WEAK_PASSES:
            gained = cast(Callable[..., float], _dual_pass)(c, q, self.passes % 2 == 0)
            self.passes += 1
            bound += gained
            slack = self.target() - bound
            if slack <= 0:
                break
            cast(Callable[..., None], _forbid)(c, q, slack)
            weak = weak + 1 if gained < WEAK * slack else 0
        return bound

    def target(self) -> float:
        """Cost from which a branch is of no interest."""
        return self.cost - TOLERANCE * (1 + abs(self.cost))


def _branches(c: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of the row or column with the fewest possible pairs, cheapest first."""
    possible = np.isfinite(c)
    by_row, by_column = possible.sum(axis=1), possible.sum(axis=0)
    if by_row.min() <= by_column.min():
        line = int(by_row.argmin())
        pairs = [(line, int(a)) for a in possible[line].nonzero()[0]]
    else:
        line = int(by_column.argmin())
        pairs = [(int(i), line) for i in possible[:, line].nonzero()[0]]
    return sorted(pairs, key=lambda pair: float(c[pair]))


@njit(nogil=True, cache=True)
def _dual_pass(c, q, forwards):  # type: ignore[no-untyped-def]
    """Move costs from pairs of pairs to pairs and from pairs to the bound; return what the bound gains.

    If i -> a is chosen, the pair costs ``q[i, a]`` and their mirror images ``q[:, :, i, a]`` are paid along a
    permutation of the other nodes: at least their least assignment, which moves to ``c[i, a]``. Before that
    ``c[i, a]`` is spread over the rows, of which every one is paid once. Any permutation costs the same before and
    after.
    """
    n = len(c)
    for step in range(n * n):
        cell = step if forwards else n * n - 1 - step
        i, a = cell // n, cell % n
        if not np.isinf(c[i, a]):
            sub = _costs_with(c, q, i, a)
            c[i, a], row, column = _assign(sub)
            if not np.isinf(c[i, a]):
                _keep_reduced(q, i, a, sub, row, column)
    gained, row, column = _assign(c)
    if not np.isinf(gained):
        for i in range(n):
            for a in range(n):
                c[i, a] = max(0.0, c[i, a] - row[i] - column[a])
    return gained


@njit(nogil=True, cache=True)
def _costs_with(c, q, i, a):  # type: ignore[no-untyped-def]
    """What the other nodes cost together with i -> a, shape (N - 1, N - 1)."""
    n = len(c)
    sub = np.empty((n - 1, n - 1))
    for j in range(n - 1):
        k = j + (j >= i)
        for b in range(n - 1):
            d = b + (b >= a)
            sub[j, b] = np.inf if np.isinf(c[k, d]) else q[i, a, k, d] + q[k, d, i, a] + c[i, a] / (n - 1)
    return sub


@njit(nogil=True, cache=True)
def _keep_reduced(q, i, a, sub, row, column):  # type: ignore[no-untyped-def]
    """Leave with i -> a what its assignment problem did not move; nothing stays with the mirror images."""
    for j in range(len(sub)):
        k = j + (j >= i)
        for b in range(len(sub)):
            d = b + (b >= a)
            q[i, a, k, d] = max(0.0, sub[j, b] - row[j] - column[b])
            q[k, d, i, a] = np.inf if np.isinf(sub[j, b]) else 0.0


@njit(nogil=True, cache=True)
def _forbid(c, q, slack):  # type: ignore[no-untyped-def]
    """Rule out pairs, and pairs of pairs, whose costs alone use up the slack."""
    n = len(c)
    for i in range(n):
        for a in range(n):
            if c[i, a] >= slack:
                c[i, a] = np.inf
    for i in range(n):
        for a in range(n):
            if np.isinf(c[i, a]):
                continue
            for j in range(i + 1, n):
                for b in range(n):
                    if b != a and c[i, a] + c[j, b] + q[i, a, j, b] + q[j, b, i, a] >= slack:
                        q[i, a, j, b] = q[j, b, i, a] = np.inf


@njit(nogil=True, cache=True)
def _assign(cost):  # type: ignore[no-untyped-def]
    """Least cost of an assignment and its prices of rows and columns; infinite costs forbid pairs.

    Shortest augmenting paths (Jonker and Volgenant 1987) after a column reduction.
    """
    n = len(cost)
    row, column = np.zeros(n), np.empty(n)
    owner, taken = np.full(n, -1), np.zeros(n, dtype=np.bool_)
    for j in range(n):
        lowest = np.argmin(cost[:, j])
        column[j] = cost[lowest, j]
        if np.isinf(column[j]):
            return np.inf, row, column
        if not taken[lowest]:
            taken[lowest], owner[j] = True, lowest
    for i in range(n):
        if not taken[i] and not _augment(cost, row, column, owner, i):
            return np.inf, row, column
    return row.sum() + column.sum(), row, column


@njit(nogil=True, cache=True)
def _augment(cost, row, column, owner, free):  # type: ignore[no-untyped-def]
    """Give a column to row ``free``, moving other rows along a shortest path; return whether that is possible."""
    n = len(cost)
    length, before, done = np.full(n, np.inf), np.full(n, -1), np.zeros(n, dtype=np.bool_)
    i, last = free, -1
    while i >= 0:
        nearest, step = -1, np.inf
        for j in range(n):
            if not done[j]:
                reduced = cost[i, j] - row[i] - column[j]
                if reduced < length[j]:
                    length[j], before[j] = reduced, last
                if length[j] < step:
                    nearest, step = j, length[j]
        if nearest < 0:
            return False
        row[free] += step
        for j in range(n):
            if done[j]:
                row[owner[j]] += step
                column[j] -= step
            else:
                length[j] -= step
        done[nearest], last = True, nearest
        i = owner[nearest]
    while last >= 0:
        owner[last] = owner[before[last]] if before[last] >= 0 else free
        last = before[last]
    return True
