"""Frank-Wolfe with exact assignment steps and exact line search."""

from __future__ import annotations

import torch

from lvm_med_monai.matching.lap import assign
from lvm_med_monai.matching.qap.dense import DenseEdgeTerm
from lvm_med_monai.matching.qap.listed import ListedEdgeTerm

TOLERANCE = 1e-9  # relative improvement below which a step counts as none


def frank_wolfe(
    term: DenseEdgeTerm | ListedEdgeTerm,
    c_v: torch.Tensor,
    graph: torch.Tensor,
    start: torch.Tensor,
    gradient: torch.Tensor,
    iterations: int,
    patience: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Maximise ``s(V) = <C, V> + <V, H V> / 2`` over doubly stochastic V and keep the best permutation met on the way.

    Each iteration moves towards the vertex P that maximises ``<C + H V, P>``, an assignment problem, by the exact
    maximiser of the parabola ``s(V + t (P - V))`` on [0, 1]: its apex where it is concave, else t = 1, since P never
    lies downhill. ``H V`` follows by the same convex combination, so H is applied to permutations only.

    Args:
        term: edge terms of B graphs.
        c_v: vertex affinities of the starts, shape (P, N, N).
        graph: graph of each start, shape (P,).
        start: doubly stochastic starts, shape (P, N, N).
        gradient: ``H start``, shape (P, N, N).
        iterations: most assignment steps of a start.
        patience: steps in a row without a better permutation before a start stops.

    Returns:
        Best permutations, shape (P, N), and the number of steps of each start, shape (P,).
    """
    best = torch.full_like(c_v[:, 0, 0], -torch.inf)
    best_v = torch.zeros_like(c_v[:, :, 0], dtype=torch.int64)
    steps = torch.zeros_like(graph)
    stale = torch.zeros_like(graph)
    active = torch.arange(len(graph), device=graph.device)
    plan, h_plan, c = start, gradient, c_v
    for _ in range(iterations):
        v = assign(-(c + h_plan))
        h_v = term.gradient_at(v, graph[active])
        linear, quadratic, score, size = _line(c, plan, h_plan, v, h_v)
        steps[active] += 1
        better = score > best[active] + TOLERANCE * (1 + best[active].abs().nan_to_num(posinf=0.0))
        best[active[better]], best_v[active[better]] = score[better], v[better]
        stale[active] = torch.where(better, 0, stale[active] + 1)
        going = (linear > TOLERANCE * size) & (stale[active] < patience)
        if not going.any():
            break
        apex = linear / (-quadratic).clamp(min=torch.finfo(c.dtype).tiny)
        step = torch.where(quadratic < 0, apex.clamp(max=1), 1.0)[going].view(-1, 1, 1)
        active, c, v, h_v = active[going], c[going], v[going], h_v[going]
        plan = (plan[going] * (1 - step)).scatter_add(2, v.unsqueeze(2), step.expand(-1, v.shape[1], 1))
        h_plan = torch.lerp(h_plan[going], h_v, step)
    return best_v, steps


def _line(
    c: torch.Tensor, plan: torch.Tensor, h_plan: torch.Tensor, v: torch.Tensor, h_v: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Slope and curvature of s from ``plan`` to ``v``, the score of ``v``, and a scale for comparisons; each (P,)."""

    def at_v(x: torch.Tensor) -> torch.Tensor:
        return x.gather(2, v.unsqueeze(2)).sum(dim=(1, 2))

    gradient = c + h_plan
    at_plan = (gradient * plan).sum(dim=(1, 2))
    h_vv = at_v(h_v)
    linear = at_v(gradient) - at_plan
    quadratic = h_vv - 2 * (h_v * plan).sum(dim=(1, 2)) + (h_plan * plan).sum(dim=(1, 2))
    return linear, quadratic, at_v(c) + h_vv / 2, 1 + at_plan.abs()
