"""Which search solves a batch of matching problems, and what surrounds every one of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec

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


@dataclass(frozen=True)
class Effort:
    """How long a search runs; see ``solve`` for the fields."""

    starts: int | None
    effort: float
    iterations: int
    patience: int


@torch.compiler.assume_constant_result
def choose(backend: str, size: int, device: str) -> str:
    """Return the backend that runs: ``backend``, or what ``"auto"`` stands for.

    Raises:
        ValueError: unknown backend.
        ImportError: the backend asked for is not installed.
    """
    if backend not in BACKENDS:
        raise ValueError(f"matching backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
    if backend == "auto":
        if device == "cpu" and size <= TABU_UP_TO and find_spec("numba") is not None:
            return "numba"
        return "triton" if device == "cuda" and size <= TRITON_UP_TO and find_spec("triton") is not None else "torch"
    if backend in ("numba", "triton") and find_spec(backend) is None:
        raise ImportError(f"the matching backend {backend!r} needs the package {backend} (pip install {backend})")
    return backend


def search(
    problem: MatchingProblem, backend: str, effort: Effort, generator: torch.Generator | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Solve problems of any shape under a random relabelling of their targets; see ``solve``.

    Args:
        problem: problems outside autograd.
        backend: a name that ``choose`` returned.
        effort: how long to search.
        generator: CPU generator of the relabelling and the random starts.

    Returns:
        Targets of the source nodes, shape (B, N), and moves or steps of each graph, shape (B,).
    """
    batch, n, m = problem.c_v.shape
    size = max(n, m)
    order = torch.rand(batch, size, generator=generator).argsort(dim=1).to(problem.c_v.device)
    square = _relabel(problem, order)
    steps = torch.zeros(batch, dtype=torch.int64, device=order.device)
    if backend == "reference":
        v = enumerate_assignments(square).to(order.device)
    elif batch == 0 or not problem.second_order:
        v = assign(-square.c_v)
    elif backend == "torch" and size > TABU_UP_TO and square.d_s is not None and not effort.starts:
        v, steps = solve_edge_free(square, effort.iterations, effort.patience)
    elif backend == "torch":
        starts = effort.starts
        if starts is None:
            starts = RANDOM_STARTS if size <= RANDOM_STARTS_UP_TO else 0
        v, steps = solve_batched(square, starts, effort.iterations, effort.patience, generator)
    else:
        v, steps = _tabu(square, backend, effort, generator)
    v = order.gather(1, v)[:, :n]
    return torch.where(v < m, v, -1), steps


def _tabu(
    problem: MatchingProblem, backend: str, effort: Effort, generator: torch.Generator | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Solve square problems by tabu search. Returns permutations (B, N) and moves (B,)."""
    batch, n, _ = problem.c_v.shape
    count = budget.STARTS if effort.starts is None else effort.starts
    if count < 1 or effort.effort <= 0:
        raise ValueError(
            f"a tabu search needs at least one start and a positive effort, got {effort.starts} and {effort.effort}"
        )
    device, moves = problem.c_v.device, budget.moves(n, effort.effort)
    first = budget.random_starts(batch, count, n, generator).to(device)
    steps = torch.full((batch,), count * moves, dtype=torch.int64, device=device)
    if n > RANDOM_UP_TO:
        # the basin of a good solution gets hard to find from random starts
        first[:, 0], frank_wolfe_steps = solve_batched(problem, 0, effort.iterations, effort.patience, generator)
        steps += frank_wolfe_steps
    if backend == "numba":
        from lvm_med_monai.matching.qap.tabu import tabu_search

        return tabu_search(problem, first, moves).to(device), steps
    from lvm_med_monai.matching.qap.kernel import tabu_kernel_search

    v, score = tabu_kernel_search(problem, first, moves)
    best = score.argmax(dim=1).view(batch, 1, 1).expand(-1, 1, n)
    return v.gather(1, best).squeeze(1), steps


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
