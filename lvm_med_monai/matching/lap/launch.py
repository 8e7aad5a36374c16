"""How the Triton kernel is launched, and for which sizes. Imports Triton only to launch."""

from __future__ import annotations

import torch

WARPS = {
    "float32": {32: 1, 64: 1, 128: 1, 256: 2, 512: 4, 1024: 8, 2048: 16, 4096: 16},
    "float64": {32: 1, 64: 1, 128: 2, 256: 4, 512: 8, 1024: 16, 2048: 16},
}
"""Warps of a program by arithmetic and BLOCK. README.md has the registers that they take on each target. None is
spilled, which in float64 holds up to 2048 columns."""


def arithmetic_of(dtype: torch.dtype) -> torch.dtype:
    """The type in which costs are added and compared: float64 for float64, else float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def most_nodes(dtype: torch.dtype) -> int:
    """The most nodes that either side of a problem may have."""
    return max(WARPS[str(arithmetic_of(dtype)).removeprefix("torch.")])


def settings_for(nodes: int, dtype: torch.dtype) -> tuple[int, int]:
    """BLOCK and warps for problems whose longer side has that many nodes, 1 to ``most_nodes``."""
    block = max(32, 1 << (nodes - 1).bit_length())
    return block, WARPS[str(arithmetic_of(dtype)).removeprefix("torch.")][block]


def launch(cost: torch.Tensor, v: torch.Tensor, u: torch.Tensor | None = None, p: torch.Tensor | None = None) -> None:
    """Solve a batch; writes every element of the outputs and does not wait for the device.

    Args:
        cost: costs, shape (B, N, M), N and M from 1 to ``most_nodes``; NaN and -inf count as +inf.
        v: target of each source, shape (B, N), int64, contiguous; -1 if unmatched, all -1 without an assignment.
        u: prices of sources, shape (B, N), of ``arithmetic_of(cost.dtype)``, contiguous. None: not wanted.
        p: prices of targets, shape (B, M), with ``u`` or not at all.
    """
    from lvm_med_monai.matching.lap.kernel import shortest_paths

    if len(cost) == 0:
        return
    transposed = cost.shape[1] > cost.shape[2]
    if transposed:
        cost, u, p = cost.transpose(1, 2), p, u
    rows, columns = cost.shape[1:]
    block, warps = settings_for(columns, cost.dtype)
    with torch.cuda.device_of(cost):  # Triton launches on the current device
        shortest_paths[(len(cost),)](
            cost.contiguous(),
            v,
            u,
            p,
            rows,
            columns,
            rows if rows == columns else 0,
            BLOCK=block,
            TRANSPOSED=transposed,
            PRICES=u is not None,
            FLOAT64=cost.dtype == torch.float64,
            num_warps=warps,
        )


def interpreted() -> bool:
    """Whether Triton was imported in its interpreter's mode, in which kernels run on CPU tensors."""
    import triton

    from lvm_med_monai.matching.lap.kernel import shortest_paths

    return not isinstance(shortest_paths, triton.JITFunction)
