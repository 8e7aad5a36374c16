"""Second-order matching in torch: Frank-Wolfe from three starts, random starts, 2-swaps on all of them."""

from __future__ import annotations

import torch

from lvm_med_monai.matching.lap import assign
from lvm_med_monai.matching.problem import MatchingProblem
from lvm_med_monai.matching.qap.dense import DenseEdgeTerm
from lvm_med_monai.matching.qap.frank_wolfe import frank_wolfe
from lvm_med_monai.matching.qap.listed import ListedEdgeTerm
from lvm_med_monai.matching.qap.swaps import improve_by_swaps
from lvm_med_monai.matching.sinkhorn import sinkhorn_plan

SINKHORN_TEMPERATURE = 0.1  # of the soft start, relative to the largest vertex affinity
DENSE_UP_TO = 24  # nodes; above, N^4 numbers a graph are slower than incidence lists
GRAPHS_OF_16_AT_ONCE = 16  # bounds the memory: 8 MiB of edge terms here, fewer graphs where they are larger


def solve_batched(
    problem: MatchingProblem, starts: int, iterations: int, patience: int, generator: torch.Generator | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Solve square second-order problems; see ``solve``.

    Args:
        problem: problems with edges, N = M, already relabelled at random.
        starts: random permutations that join the Frank-Wolfe results in the 2-swap search.
        iterations: most Frank-Wolfe steps of a start.
        patience: Frank-Wolfe steps without improvement before a start stops.
        generator: CPU generator of the random permutations.

    Returns:
        Best permutations, shape (B, N), and Frank-Wolfe steps of each graph over all starts, shape (B,).
    """
    batch, n, _ = problem.c_v.shape
    at_once = max(1, GRAPHS_OF_16_AT_ONCE * 16**2 // n**2)
    parts = [
        _solve_part(problem.select(part), starts, iterations, patience, generator)
        for part in torch.arange(batch, device=problem.c_v.device).split(at_once)
    ]
    return torch.cat([v for v, _ in parts]), torch.cat([steps for _, steps in parts])


def _solve_part(
    problem: MatchingProblem, starts: int, iterations: int, patience: int, generator: torch.Generator | None
) -> tuple[torch.Tensor, torch.Tensor]:
    c_v = problem.c_v.double()
    batch, n, _ = c_v.shape
    term = DenseEdgeTerm(problem) if n <= DENSE_UP_TO else ListedEdgeTerm(problem)
    graphs = torch.arange(batch, device=c_v.device)
    uniform = torch.full_like(c_v, 1 / n)
    largest = c_v.abs().amax(dim=(1, 2), keepdim=True).clamp(min=torch.finfo(c_v.dtype).tiny)
    soft = sinkhorn_plan(c_v / largest, SINKHORN_TEMPERATURE)
    first_order = assign(-c_v)
    hard = torch.nn.functional.one_hot(first_order, n).to(c_v)
    v, steps = frank_wolfe(
        term,
        c_v.repeat(3, 1, 1),
        graphs.repeat(3),
        torch.cat([uniform, soft, hard]),
        torch.cat([term.gradient(uniform), term.gradient(soft), term.gradient_at(first_order, graphs)]),
        iterations,
        patience,
    )
    # Frank-Wolfe does not record its start: keep the first-order matching where no step improved on it
    fallen = problem.score(v[2 * batch :]) < problem.score(first_order)
    v[2 * batch :][fallen] = first_order[fallen]
    random = torch.rand(starts * batch, n, generator=generator).argsort(dim=1).to(v.device)
    v = torch.cat([v, random])
    count = len(v) // batch
    v, score = improve_by_swaps(term, c_v, graphs.repeat(count), v)
    best = score.view(count, batch).argmax(dim=0)
    return v.view(count, batch, n)[best, graphs], steps.view(3, batch).sum(dim=0)
