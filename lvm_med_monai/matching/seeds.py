"""Randomness that a compiled graph can hold: a key, as an integer tensor, instead of a generator with a state."""

from __future__ import annotations

import numpy as np
import torch

Randomness = torch.Generator | torch.Tensor | None
"""A CPU generator; a key; or torch's global generator."""


def key_of(randomness: Randomness) -> torch.Tensor:
    """Return the key itself, or draw one, shape (1,), from torch's global generator.

    Raises:
        ValueError: a generator, whose state no compiled graph can change.
    """
    if isinstance(randomness, torch.Tensor):
        return randomness
    if randomness is not None:
        raise ValueError("torch.compile cannot take a torch.Generator: give a key instead, an int64 tensor on the CPU")
    return torch.randint(2**62, (1,))


def generator_of(key: torch.Tensor) -> torch.Generator:
    """Return a new generator that the numbers of a key decide, through NumPy's ``SeedSequence``.

    Args:
        key: whole numbers of at least 0, int64, any shape, on the CPU: on a GPU reading them would wait for it.
    """
    words = np.random.SeedSequence(key.flatten().tolist()).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(words[0]))
