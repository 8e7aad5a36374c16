"""Values that change while training goes on: momentum, temperature, weight decay."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """Where a training is.

    Attributes:
        step: steps done before this one.
        epoch: epochs done before this one.
        epoch_length: steps an epoch.
        epochs: epochs of the whole schedule, which may end after the training stops.
    """

    step: int
    epoch: int
    epoch_length: int
    epochs: int

    @property
    def steps(self) -> int:
        """Steps of the whole schedule."""
        return self.epochs * self.epoch_length


def cosine(step: int, steps: int, start: float, end: float) -> float:
    """Half a cosine from ``start`` at step 0 to ``end`` at the last, ``steps - 1``, and constant after it."""
    if steps <= 1 or step >= steps - 1:
        return end
    return end + (start - end) * (1 + math.cos(math.pi * step / (steps - 1))) / 2


def warm_up(step: int, steps: int, start: float, end: float) -> float:
    """A line from ``start`` at step 0 to ``end`` at step ``steps - 1``, and constant after it."""
    if steps <= 1 or step >= steps - 1:
        return end
    return start + (end - start) * step / (steps - 1)
