"""Graphs that span all ranks of a distributed run."""

from __future__ import annotations

import torch
from torch import distributed


def world_size() -> int:
    """Number of processes that train together; 1 without ``torch.distributed``."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def gather_nodes(x: torch.Tensor) -> torch.Tensor:
    """Join the nodes of all ranks into graphs that every rank holds, with gradients.

    Node ``rank * N + i`` of a graph is node i of that rank. In the backward pass each rank receives the gradient of its
    own nodes, summed over the losses of all ranks. If all ranks compute the same loss, that is ``world_size`` times its
    gradient, and ``DistributedDataParallel``, which averages over ranks, gets the gradient of one process with all
    images. If their noise differs, it gets the mean over the noise samples.

    Args:
        x: one entry a node, shape (B, N, ...), the same on all ranks; every rank has to call this, and ``backward``.

    Returns:
        Shape (B, world_size * N, ...).

    Raises:
        ValueError: the ranks hold different shapes, for instance in a last batch that is not dropped.
    """
    if world_size() == 1:
        return x
    shape = torch.tensor(x.shape[:2], device=x.device)
    extremes = torch.cat([shape, -shape])
    # tensors of different shapes would hang or corrupt the collective that follows
    distributed.all_reduce(extremes, distributed.ReduceOp.MAX)
    if (extremes[:2] != -extremes[2:]).any():
        raise ValueError(
            f"all ranks need the same number of graphs and nodes, this one has {tuple(x.shape[:2])}: "
            "drop the last batch of an epoch"
        )
    return _GatherNodes.apply(x)


class _GatherNodes(torch.autograd.Function):
    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: torch.Tensor) -> torch.Tensor:
        parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(world_size())]
        distributed.all_gather(parts, x.contiguous())
        return torch.cat(parts, dim=1)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: torch.Tensor) -> torch.Tensor:
        total = gradients[0].contiguous().clone()
        distributed.all_reduce(total)
        return total.chunk(world_size(), dim=1)[distributed.get_rank()]
