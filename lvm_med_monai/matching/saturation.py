"""When the second solve of the gradient estimate is the identity."""

from __future__ import annotations

import torch

from lvm_med_monai.matching.problem import MatchingProblem

PART = 2**22  # numbers of a temporary


def saturation_bound(problem: MatchingProblem, quick: bool = False) -> torch.Tensor:
    """Lambda from which the second solve of ``imle`` certainly returns the identity.

    ``v' = argmax S(v) + 2 lambda * (number of i with v(i) = i)``. Giving up the identity at node i gains at most
    ``max_{a != i} c_v[i, a] - c_v[i, i]`` and, for each source edge e at i, ``max(0, max_f c_e[e, f]) - c_e[e, e']``
    where that is positive, with e' the target edge between the same nodes (0 if there is none). An edge is charged to
    each of its ends. Where ``2 lambda`` is at least the largest gain of a node, no node moves.

    Args:
        problem: problems as they are solved, that is with noise; N = M.
        quick: with edge factors, take ``|d_s[e]| max_f |d_t[f]|`` for ``max_f c_e[e, f]``: E + F lengths instead of
            E F products, and a bound that is never smaller.

    Returns:
        Bound of each graph, at least 0, shape (B,).
    """
    c_v = problem.c_v
    diagonal = c_v.diagonal(dim1=1, dim2=2)
    itself = torch.eye(c_v.shape[1], dtype=torch.bool, device=c_v.device)
    gain = c_v.masked_fill(itself, -torch.inf).amax(dim=2) - diagonal
    if problem.edges_s is not None:
        edge_gain = _edge_gains(problem, quick)
        for end in problem.edges_s.clamp(min=0).unbind(dim=2):
            gain = gain.scatter_add(1, end, edge_gain)
    return (gain.amax(dim=1) / 2).clamp(min=0)


def _edge_gains(problem: MatchingProblem, quick: bool) -> torch.Tensor:
    """What each source edge gains at most where the identity is given up, shape (B, E); 0 for padding."""
    if problem.edges_s is None or problem.edges_t is None:
        raise ValueError("a first-order problem has no edges")
    source, neighbour = problem.edges_s.clamp(min=0).unbind(dim=2)
    paired = problem.target_edge.gather(1, source * problem.c_v.shape[2] + neighbour)
    paid, best = problem.paid(paired), _best_pay(problem, problem.edges_t[..., 0] < 0, quick)
    gain = (best.clamp(min=0) - torch.where(paired >= 0, paid, 0.0)).clamp(min=0)
    return torch.where(problem.edges_s[..., 0] >= 0, gain, 0.0)


def _best_pay(problem: MatchingProblem, absent: torch.Tensor, quick: bool) -> torch.Tensor:
    """Largest affinity of each source edge with a target edge that is not ``absent``, or above it; shape (B, E)."""
    if problem.d_s is None or problem.d_t is None:
        return problem.edge_affinities().masked_fill(absent.unsqueeze(1), -torch.inf).amax(dim=2)
    if quick:
        longest = problem.d_t.norm(dim=2).masked_fill(absent, 0.0).amax(dim=1, keepdim=True)
        return problem.edge_weight * problem.d_s.norm(dim=2) * longest
    # a few rows of c_e at a time: all of it would be 1 GB for a graph of 3,200 nodes
    rows = max(1, PART // absent.numel())
    parts = [
        (part @ problem.d_t.mT).masked_fill_(absent.unsqueeze(1), -torch.inf).amax(dim=2)
        for part in problem.d_s.split(rows, dim=1)
    ]
    return problem.edge_weight * torch.cat(parts, dim=1)


def saturated(problem: MatchingProblem, lambda_: float | torch.Tensor) -> torch.Tensor:
    """Graphs whose second solve certainly returns the identity: the quick bound first, the exact one if it fails."""
    certain = saturation_bound(problem, quick=True) <= lambda_
    return certain if certain.all() else certain | (saturation_bound(problem) <= lambda_)
