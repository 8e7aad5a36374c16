"""How long the tabu search runs, and where it starts."""

from __future__ import annotations

import math

import torch

STARTS = 16
MOVES_PER_NODE = 3


def moves(nodes: int, effort: float) -> int:
    """Moves of one start: ``effort * 3 N`` up to 16 nodes, ``effort * 6 N`` from 32 nodes on, linear in between."""
    return max(1, math.ceil(effort * MOVES_PER_NODE * nodes * min(max(nodes / 16, 1.0), 2.0)))


def random_starts(batch: int, starts: int, nodes: int, generator: torch.Generator | None) -> torch.Tensor:
    """Draw permutations of shape (B, S, N), int64, on the CPU, so that every backend starts from the same ones."""
    return torch.rand(batch, starts, nodes, generator=generator).argsort(dim=2)
