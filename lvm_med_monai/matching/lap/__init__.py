"""Linear assignment: which source node goes to which target node, without edges."""

from __future__ import annotations

from typing import Literal, NamedTuple, overload

import torch

from lvm_med_monai.matching.lap.operator import assignment, assignment_with_prices

BACKENDS = ("auto", "reference", "scipy", "lapx", "triton")

__all__ = ["BACKENDS", "Assignment", "assign"]


class Assignment(NamedTuple):
    """An optimal assignment and its certificate.

    For every pair, ``cost - u - p >= 0``, and 0 where the pair is matched, up to rounding; the free nodes of the longer
    side have price 0, and the others of that side none above 0. So ``u.sum() + p.sum()`` is the least cost.
    """

    v: torch.Tensor
    """Target of each source node, shape (B, N), int64; -1: unmatched."""
    u: torch.Tensor
    """Prices of the sources, shape (B, N)."""
    p: torch.Tensor
    """Prices of the targets, shape (B, M)."""


@overload
def assign(
    cost: torch.Tensor, backend: str = ..., *, check: bool = ..., return_duals: Literal[False] = ...
) -> torch.Tensor: ...


@overload
def assign(cost: torch.Tensor, backend: str = ..., *, check: bool = ..., return_duals: Literal[True]) -> Assignment: ...


def assign(
    cost: torch.Tensor, backend: str = "auto", *, check: bool = True, return_duals: bool = False
) -> torch.Tensor | Assignment:
    """Solve a batch of linear assignment problems exactly.

    Minimises ``sum_n cost[b, n, v(n)]`` over injective ``v`` for every ``b`` on its own. With N > M every target is
    taken and N - M sources stay unmatched. No gradient flows; ``torch.compile`` takes the call as one operator.

    Args:
        cost: costs, shape (B, N, M), any floating dtype, any device; +inf forbids a pair.
        backend: ``"lapx"``, ``"scipy"`` or ``"reference"`` (readable, slow), which compute in float64 on the CPU
            wherever ``cost`` lies; ``"triton"``, which computes on the GPU, in float64 for float64 costs and else in
            float32, for up to 4096 nodes (float64: 2048) a side; or ``"auto"``: Triton for costs on a GPU that it can
            take where it is installed, else lapx where that is installed, else SciPy.
        check: raise for invalid and infeasible problems, which on a GPU waits for the device. If False, NaN and -inf
            count as +inf, and a problem without an assignment gets -1 for all sources and NaN for all prices.
        return_duals: return the dual prices too.

    Returns:
        Target of each source node, shape (B, N), int64; -1 where N > M leaves a node unmatched. Which of several
        optimal assignments is returned depends on the backend. With ``return_duals`` an ``Assignment``, whose prices
        are float64 for float64 costs and else float32.

    Raises:
        ValueError: ``cost`` has a wrong shape or dtype; the backend is unknown, or is Triton and the costs are on a CPU
            or too large for it. With ``check``: ``cost`` holds NaN or -inf, or a problem has no assignment without
            forbidden pairs.
        ImportError: the backend asked for is not installed.

    Example:
        >>> assign(torch.tensor([[[4.0, 1.0], [2.0, 8.0]]]))
        tensor([[1, 0]])

    References:
        Jonker and Volgenant, "A shortest augmenting path algorithm for dense and sparse linear assignment problems",
        1987; Crouse, "On implementing 2D rectangular assignment algorithms", 2016.
    """
    if backend not in BACKENDS:
        raise ValueError(f"assignment backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
    if cost.ndim != 3 or not cost.is_floating_point():
        raise ValueError(f"cost must be floating and of shape (B, N, M), got {cost.dtype} {tuple(cost.shape)}")
    if return_duals:
        return Assignment(*assignment_with_prices(cost.detach(), backend, check))
    return assignment(cost.detach(), backend, check)
