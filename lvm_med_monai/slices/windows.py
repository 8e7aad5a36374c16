"""Intensity windows in modality units: which values become black and white."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lvm_med_monai.slices.histogram import Histogram
from lvm_med_monai.slices.stack import Stack


@dataclass(frozen=True)
class Window:
    """Values at or below ``lower`` become 0, at or above ``upper`` 1; both in modality units.

    Raises:
        ValueError: unless ``lower < upper`` and both are finite.
    """

    lower: float
    upper: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.lower) and np.isfinite(self.upper) and self.lower < self.upper):
            raise ValueError(f"a window needs lower < upper, got {self.lower} and {self.upper}")

    @classmethod
    def centred(cls, centre: float, width: float) -> Window:
        """Window by its centre and width, as radiologists name them."""
        return cls(centre - width / 2, centre + width / 2)


CT_WINDOWS = {
    "soft": Window.centred(40, 400),
    "lung": Window.centred(-600, 1500),
    "bone": Window.centred(400, 1800),
    "wide": Window(-1024, 1500),
}
"""Named windows in HU."""
SERIES_PERCENTILES = (0.5, 99.5)
"""Of the foreground of a whole series, for MR and everything without a common scale."""
DISPLAY_PERCENTILES = (0.1, 99.9)
"""Of all pixels, for radiographs and pictures that ask for no window."""


def apply_window(array: NDArray[Any], window: Window) -> NDArray[np.float32]:
    """Map values to [0, 1] linearly, with clipping.

    Args:
        array: any shape, modality units; NaN becomes 0.
        window: the window.

    Returns:
        float32 of the same shape.
    """
    scaled = (np.asarray(array, dtype=np.float64) - window.lower) / (window.upper - window.lower)
    return np.nan_to_num(np.clip(scaled, 0, 1), nan=0.0).astype(np.float32)


def to_uint8(array: NDArray[Any], window: Window) -> NDArray[np.uint8]:
    """Map values to 0..255 linearly, with clipping, rounded to nearest (halves to even).

    In float32 where that holds every value, which on 16-bit slices is faster than a lookup table; else in float64.

    Args:
        array: any shape, modality units; NaN becomes 0.
        window: the window.

    Returns:
        uint8 of the same shape.
    """
    array = np.asarray(array)
    narrow = array.dtype.itemsize <= 2 or array.dtype == np.float32
    values = array.astype(np.float32 if narrow else np.float64)
    values -= window.lower
    values *= 255 / (window.upper - window.lower)
    if array.dtype.kind == "f":
        np.nan_to_num(values, copy=False, nan=0.0, posinf=255.0, neginf=0.0)
    np.clip(values, 0, 255, out=values)
    return np.rint(values, out=values).astype(np.uint8)


def percentile_window(histogram: Histogram, percentiles: tuple[float, float], above: float = -np.inf) -> Window:
    """Window between two percentiles of the pixels above a threshold; one unit wide if they coincide."""
    lower, upper = (histogram.percentile(p, above) for p in percentiles)
    return Window(lower, upper if upper > lower else max(lower + 1.0, float(np.nextafter(lower, np.inf))))


def default_window(stack: Stack, histogram: Histogram | None = None) -> Window:
    """The window that a slice is shown with when the user names none.

    Soft tissue for CT in HU; what the file asks for where it is made for display; percentiles otherwise, of the
    foreground (all above the darkest value) of the whole series.

    Args:
        stack: the series.
        histogram: of all its pixels; read from the stack if it is needed and None.
    """
    if stack.units == "HU":
        return CT_WINDOWS["soft"]
    if stack.channels == 3:
        return Window(0.0, 255.0)
    if stack.display_range is not None:
        return Window(*stack.display_range)
    return window_of_values(Histogram.of(stack.array()) if histogram is None else histogram, stack.units)


def window_of_values(histogram: Histogram, units: str | None) -> Window:
    """The window of values that come without one: percentiles, of the foreground unless they are made for display.

    Args:
        histogram: of all values.
        units: ``display`` for files made to be looked at; any other, or None where they are not known.
    """
    if units == "display":
        return percentile_window(histogram, DISPLAY_PERCENTILES)
    return percentile_window(histogram, SERIES_PERCENTILES, above=histogram.first)
