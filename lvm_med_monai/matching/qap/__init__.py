"""Second-order matching: which source node goes to which target node, given vertex and edge affinities."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch

from lvm_med_monai.matching.lap import assign
from lvm_med_monai.matching.problem import MatchingProblem
from lvm_med_monai.matching.qap.batched import solve_batched
from lvm_med_monai.matching.qap.reference import enumerate_assignments

BACKENDS = ("auto", "reference", "torch")
RANDOM_STARTS = 16  # default up to RANDOM_STARTS_UP_TO nodes; above, they cost more than they find
RANDOM_STARTS_UP_TO = 24

__all__ = ["BACKENDS", "Solution", "solve"]


class Solution(NamedTuple):
    """Solutions of a batch of matching problems.

    Attributes:
        v: target of each source node, shape (B, N), int64; -1 where N > M leaves a node unmatched.
        score: score of ``v``, shape (B,).
        iterations: Frank-Wolfe steps of each graph over all starts, shape (B,); 0 for first-order problems.
        backend: name of the backend that ran.
    """

    v: torch.Tensor
    score: torch.Tensor
    iterations: torch.Tensor
    backend: str


def solve(
    problem: MatchingProblem,
    backend: str = "auto",
    starts: int | None = None,
    iterations: int = 30,
    patience: int = 3,
    generator: torch.Generator | None = None,
) -> Solution:
    """Maximise the score of a batch of matching problems (paper Eq. 4).

    A first-order problem is one exact assignment. A second-order problem is NP-hard: ``"torch"`` returns a 2-swap local
    optimum that is at least as good as the first-order assignment, ``"reference"`` the true optimum of up to 8 nodes.
    Solved in float64 under a random relabelling of the target nodes, so that ties never favour the identity, and never
    started from the identity, which would leak the label.

    Args:
        problem: problems to solve; gradients are not tracked.
        backend: ``"torch"``, ``"reference"``, or ``"auto"``, which is ``"torch"``.
        starts: random starts of the 2-swap search beside three Frank-Wolfe starts; None: 16 up to 24 nodes, else 0.
        iterations: most Frank-Wolfe steps of a start.
        patience: Frank-Wolfe steps without improvement before a start stops.
        generator: CPU generator of the relabelling and the random starts; None uses torch's global one.

    Raises:
        ValueError: unknown backend, or a problem too large for the reference.
    """
    if backend not in BACKENDS:
        raise ValueError(f"matching backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
    backend = "torch" if backend == "auto" else backend
    problem = problem.detach()
    batch, n, m = problem.c_v.shape
    size = max(n, m)
    order = torch.rand(batch, size, generator=generator).argsort(dim=1).to(problem.c_v.device)
    square = _relabel(problem, order)
    steps = torch.zeros(batch, dtype=torch.int64, device=order.device)
    if backend == "reference":
        v = enumerate_assignments(square).to(order.device)
    elif batch == 0 or not problem.second_order:
        v = assign(-square.c_v)
    else:
        if starts is None:
            starts = RANDOM_STARTS if size <= RANDOM_STARTS_UP_TO else 0
        v, steps = solve_batched(square, starts, iterations, patience, generator)
    v = order.gather(1, v)[:, :n]
    v = torch.where(v < m, v, -1)
    return Solution(v, problem.score(v), steps, backend)


def _relabel(problem: MatchingProblem, order: torch.Tensor) -> MatchingProblem:
    """Make the problem square with isolated nodes of affinity 0, and let target a of the result be ``order[a]``."""
    batch, n, m = problem.c_v.shape
    size = order.shape[1]
    c_v = torch.nn.functional.pad(problem.c_v, (0, size - m, 0, size - n))
    c_v = c_v.gather(2, order.unsqueeze(1).expand(batch, size, size))
    if problem.edges_t is None:
        return replace(problem, c_v=c_v)
    name = order.argsort(dim=1)
    edges_t = name.gather(1, problem.edges_t.clamp(min=0).flatten(1)).view_as(problem.edges_t)
    return replace(problem, c_v=c_v, edges_t=torch.where(problem.edges_t >= 0, edges_t, -1))
