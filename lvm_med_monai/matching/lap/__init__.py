"""Linear assignment: which source node goes to which target node, without edges."""

from __future__ import annotations

import torch

from lvm_med_monai.matching.lap import libraries
from lvm_med_monai.matching.lap.reference import shortest_augmenting_paths

BACKENDS = ("auto", "reference", "scipy", "lapx")

__all__ = ["BACKENDS", "assign"]


def assign(cost: torch.Tensor, backend: str = "auto") -> torch.Tensor:
    """Solve a batch of linear assignment problems exactly.

    Minimises ``sum_n cost[b, n, v(n)]`` over injective ``v`` for every ``b`` on its own. With N > M every target is
    taken and N - M sources stay unmatched. Computed in float64 on the CPU, whatever the dtype and device of ``cost``.

    Args:
        cost: costs, shape (B, N, M), any floating dtype, any device; +inf forbids a pair.
        backend: ``"lapx"``, ``"scipy"``, ``"reference"`` (readable, slow), or ``"auto"``: lapx where it is installed,
            else SciPy.

    Returns:
        Target of each source node, shape (B, N), int64; -1 where N > M leaves a node unmatched. Which of several
        optimal assignments is returned depends on the backend.

    Raises:
        ValueError: ``cost`` has a wrong shape or dtype, holds NaN or -inf, or a problem has no assignment without
            forbidden pairs; the backend is unknown.
        ImportError: the backend asked for is not installed.

    Example:
        >>> assign(torch.tensor([[[4.0, 1.0], [2.0, 8.0]]]))
        tensor([[1, 0]])

    References:
        Crouse, "On implementing 2D rectangular assignment algorithms", 2016.
    """
    if backend not in BACKENDS:
        raise ValueError(f"assignment backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
    if cost.ndim != 3 or not cost.is_floating_point():
        raise ValueError(f"cost must be floating and of shape (B, N, M), got {cost.dtype} {tuple(cost.shape)}")
    matrices = cost.detach().double().cpu().numpy()
    if not (matrices > -torch.inf).all():  # false for NaN too
        raise ValueError(f"cost of shape {tuple(cost.shape)} holds NaN or -inf")
    if backend == "auto":
        backend = "lapx" if libraries.has_lapx() else "scipy"
    solver = {
        "reference": shortest_augmenting_paths,
        "scipy": libraries.solve_with_scipy,
        "lapx": libraries.solve_with_lapx,
    }[backend]
    v = torch.full(cost.shape[:2], -1, dtype=torch.int64)
    for index, matrix in enumerate(matrices):
        try:
            rows, columns = solver(matrix)
        except ValueError as error:
            raise ValueError(f"problem {index} of the batch has no assignment without forbidden pairs") from error
        v[index, rows] = torch.from_numpy(columns)
    return v.to(cost.device)
