"""Pixels that are not finite."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Pixels = TypeVar("Pixels", bound=np.generic)


def finite(frame: NDArray[Pixels]) -> NDArray[Pixels]:
    """A slice whose pixels that are not finite have its lowest finite value, or 0 if it has none.

    Args:
        frame: of any shape.

    Returns:
        The slice itself if all is finite, else a copy of the same type.
    """
    good = np.isfinite(frame)
    if good.all():
        return frame
    lowest = frame[good].min() if good.any() else 0
    return np.where(good, frame, lowest).astype(frame.dtype)
