"""Affinities of vertex pairs and edge pairs from node features."""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable

SMALLEST_NORM = 1e-6


def unit(x: torch.Tensor) -> torch.Tensor:
    """Scale vectors of the last axis to length one; vectors shorter than 1e-6 become zero, with a zero gradient.

    Two images with equal features have a zero difference vector: dividing it by a small constant would send a huge
    gradient through an edge that has no direction.
    """
    return _Unit.apply(x)


class _Unit(torch.autograd.Function):
    """``u = x / |x|`` with the gradient ``(g - <g, u> u) / |x|``.

    Autograd would write maps of dense features eight times on the way back, this does so twice.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        norm = x.norm(dim=-1, keepdim=True)
        norm = torch.where(norm > SMALLEST_NORM, norm, torch.inf)
        u = x / norm
        ctx.save_for_backward(u, norm)
        return u

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        u, norm = ctx.saved_tensors
        along = torch.linalg.vecdot(gradient, u).unsqueeze(-1)
        return torch.addcmul(gradient, u, along, value=-1).div_(norm)


def vertex_affinity(h_s: torch.Tensor, h_t: torch.Tensor) -> torch.Tensor:
    """Cosines of node features, the global term of paper Eq. 3: (B, N, C) and (B, M, C) -> (B, N, M)."""
    return unit(h_s) @ unit(h_t).mT


def edge_affinity(h: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
    """Factors of the edge affinities: unit difference vectors ``h_i - h_j`` of the edges (i, j).

    The product ``d_s d_t^T`` of the factors of two graphs holds the cosines between their edges (paper section 3.2).
    It has E * F entries and is formed only where a caller needs it.

    Args:
        h: node features, shape (B, N, C).
        edges: edges, shape (B, E, 2), int64; -1 pads.

    Returns:
        Factors, shape (B, E, C); zero for padding and for ends with equal features.
    """
    ends = h.gather(1, edges.clamp(min=0).flatten(1).unsqueeze(2).expand(-1, -1, h.shape[2]))
    ends = ends.unflatten(1, (-1, 2))
    return unit(ends[:, :, 0] - ends[:, :, 1])


def combine(alpha: float, vertex: torch.Tensor, local: torch.Tensor) -> torch.Tensor:
    """Mix global and local vertex affinities: ``alpha * vertex + (1 - alpha) * local`` (paper Eq. 3)."""
    return alpha * vertex + (1 - alpha) * local
