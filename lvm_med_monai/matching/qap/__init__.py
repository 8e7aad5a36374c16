"""Second-order matching: which source node goes to which target node, given vertex and edge affinities."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from typing import NamedTuple

import torch

from lvm_med_monai.matching.lap import assign
from lvm_med_monai.matching.problem import MatchingProblem
from lvm_med_monai.matching.qap import budget
from lvm_med_monai.matching.qap.batched import solve_batched
from lvm_med_monai.matching.qap.edge_free import solve_edge_free
from lvm_med_monai.matching.qap.reference import enumerate_assignments

BACKENDS = ("auto", "reference", "numba", "torch", "triton")
TABU_UP_TO = 64  # nodes; above, "auto" takes Frank-Wolfe, which by then is better and faster
TRITON_UP_TO = 32  # nodes; wider tiles spill
RANDOM_UP_TO = 32  # nodes; above, the first tabu start is the result of Frank-Wolfe
RANDOM_STARTS = 16  # of "torch" up to RANDOM_STARTS_UP_TO nodes; above, they cost more than they find
RANDOM_STARTS_UP_TO = 24

__all__ = ["BACKENDS", "Solution", "solve"]


class Solution(NamedTuple):
    """Solutions of a batch of matching problems.

    Attributes:
        v: target of each source node, shape (B, N), int64; -1 where N > M leaves a node unmatched.
        score: score of ``v``, shape (B,).
        iterations: tabu moves or Frank-Wolfe steps of each graph over all starts, shape (B,); 0 for first-order
            problems.
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
    effort: float = 1.0,
    iterations: int = 30,
    patience: int = 3,
    generator: torch.Generator | None = None,
) -> Solution:
    """Maximise the score of a batch of matching problems (paper Eq. 4).

    A first-order problem is one exact assignment. A second-order problem is NP-hard, and the backends are different
    heuristics with one contract: the score returned is that of the permutation returned, computed anew from the
    problem.

    - ``"numba"``: tabu search over 2-swaps on the CPU, in float64; returns a 2-swap optimum.
    - ``"triton"``: the same search in one GPU launch, in float32, up to 32 nodes; does not wait for the device.
    - ``"torch"``: Frank-Wolfe and 2-swaps, on any device and for any size, in float64; returns a 2-swap optimum that is
      at least as good as the first-order assignment. Problems of more than 64 nodes with edge factors are solved one by
      one, in the dtype of ``c_v``, and without the edge matrix.
    - ``"reference"``: the true optimum of up to 8 nodes.
    - ``"auto"``: numba up to 64 nodes on the CPU and Triton up to 32 nodes on a GPU, where installed; else torch.

    Targets are relabelled at random, so that ties never favour the identity, and no search starts from the identity,
    which would leak the label. A seed decides the solution, whatever the number of threads.

    Args:
        problem: problems to solve; gradients are not tracked.
        backend: one of the above; tensors are copied to the CPU and back where it needs them there.
        starts: starts of the tabu search, None: 16. For ``"torch"``, random starts of the 2-swap search beside three
            Frank-Wolfe starts, None: 16 up to 24 nodes, else 0.
        effort: multiplies the moves of a tabu start, 3 N up to 16 nodes and 6 N from 32 nodes on.
        iterations: most Frank-Wolfe steps of a start.
        patience: Frank-Wolfe steps without improvement before a start stops.
        generator: CPU generator of the relabelling and the random starts; None uses torch's global one.

    Raises:
        ValueError: unknown backend, a problem too large for it or on the wrong device, or no start.
        ImportError: the backend asked for is not installed.
    """
    if backend not in BACKENDS:
        raise ValueError(f"matching backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
    problem = problem.detach()
    batch, n, m = problem.c_v.shape
    size = max(n, m)
    backend = _choose(size, problem.c_v.device) if backend == "auto" else backend
    _check_installed(backend)
    order = torch.rand(batch, size, generator=generator).argsort(dim=1).to(problem.c_v.device)
    square = _relabel(problem, order)
    steps = torch.zeros(batch, dtype=torch.int64, device=order.device)
    if backend == "reference":
        v = enumerate_assignments(square).to(order.device)
    elif batch == 0 or not problem.second_order:
        v = assign(-square.c_v)
    elif backend == "torch" and size > TABU_UP_TO and square.d_s is not None and not starts:
        v, steps = solve_edge_free(square, iterations, patience)
    elif backend == "torch":
        if starts is None:
            starts = RANDOM_STARTS if size <= RANDOM_STARTS_UP_TO else 0
        v, steps = solve_batched(square, starts, iterations, patience, generator)
    else:
        v, steps = _tabu(square, backend, starts, effort, iterations, patience, generator)
    v = order.gather(1, v)[:, :n]
    v = torch.where(v < m, v, -1)
    return Solution(v, problem.score(v), steps, backend)


def _tabu(
    problem: MatchingProblem,
    backend: str,
    starts: int | None,
    effort: float,
    iterations: int,
    patience: int,
    generator: torch.Generator | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Solve square problems by tabu search; see ``solve``. Returns permutations (B, N) and moves (B,)."""
    batch, n, _ = problem.c_v.shape
    count = budget.STARTS if starts is None else starts
    if count < 1 or effort <= 0:
        raise ValueError(f"a tabu search needs at least one start and a positive effort, got {starts} and {effort}")
    device = problem.c_v.device
    first = budget.random_starts(batch, count, n, generator).to(device)
    steps = torch.full((batch,), count * budget.moves(n, effort), dtype=torch.int64, device=device)
    if n > RANDOM_UP_TO:
        # the basin of a good solution gets hard to find from random starts
        first[:, 0], frank_wolfe_steps = solve_batched(problem, 0, iterations, patience, generator)
        steps += frank_wolfe_steps
    if backend == "numba":
        from lvm_med_monai.matching.qap.tabu import tabu_search

        return tabu_search(problem, first, budget.moves(n, effort)).to(device), steps
    from lvm_med_monai.matching.qap.kernel import tabu_kernel_search

    v, score = tabu_kernel_search(problem, first, budget.moves(n, effort))
    best = score.argmax(dim=1).view(batch, 1, 1).expand(-1, 1, n)
    return v.gather(1, best).squeeze(1), steps


def _choose(size: int, device: torch.device) -> str:
    if device.type == "cpu" and size <= TABU_UP_TO and find_spec("numba") is not None:
        return "numba"
    if device.type == "cuda" and size <= TRITON_UP_TO and find_spec("triton") is not None:
        return "triton"
    return "torch"


def _check_installed(backend: str) -> None:
    if backend in ("numba", "triton") and find_spec(backend) is None:
        raise ImportError(f"the matching backend {backend!r} needs the package {backend} (pip install {backend})")


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
