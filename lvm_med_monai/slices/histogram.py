"""Percentiles and thresholds of a whole series from one histogram, which costs far less than sorting floats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FLOAT_BINS = 1 << 16
"""Bins for values that are not integers."""
MAX_INTEGER_SPAN = 1 << 22
"""Integers are counted one by one up to this span, and binned beyond it."""


@dataclass(frozen=True, eq=False)
class Histogram:
    """Counts of equally spaced values.

    Attributes:
        counts: (n,) pixels in each bin.
        first: value of bin 0, in modality units.
        step: distance of bins; 1 for integers, whose bins are exact.
    """

    counts: NDArray[np.int64]
    first: float
    step: float

    @classmethod
    def of(cls, array: NDArray[Any]) -> Histogram:
        """Histogram of all finite values of an array of any shape; of one zero if there is none."""
        if array.dtype.kind in "iub" and array.size:
            low, high = int(array.min()), int(array.max())
            if high - low < MAX_INTEGER_SPAN:
                counts = np.zeros(high - low + 1, dtype=np.int64)
                for part in array if array.ndim > 2 else [array]:  # slice by slice, to keep the int64 copy small
                    counts += np.bincount((part.ravel().astype(np.int64) - low), minlength=len(counts))
                return cls(counts, float(low), 1.0)
        finite = array[np.isfinite(array)] if array.dtype.kind == "f" else array.ravel()
        if not finite.size:
            return cls(np.ones(1, dtype=np.int64), 0.0, 1.0)
        low_value, high_value = float(finite.min()), float(finite.max())
        if high_value == low_value:
            return cls(np.array([finite.size]), low_value, 1.0)
        # in float64, where the range of float32 values cannot overflow; float64 values are halved for that
        half = 0.5 if finite.dtype == np.float64 else 1.0
        low_value, high_value = low_value * half, high_value * half
        counts, _ = np.histogram(finite.astype(np.float64) * half, bins=FLOAT_BINS, range=(low_value, high_value))
        step = (high_value - low_value) / FLOAT_BINS / half
        low_value /= half
        return cls(counts.astype(np.int64), low_value + step / 2, step)

    @property
    def last(self) -> float:
        """Value of the last bin."""
        return self.first + self.step * (len(self.counts) - 1)

    def percentile(self, percent: float, above: float = -np.inf) -> float:
        """Smallest value that at least ``percent`` % of the pixels do not exceed.

        Args:
            percent: 0 to 100.
            above: only pixels above this value count; all count when none is.
        """
        values = self.first + self.step * np.arange(len(self.counts))
        counts = np.where(values > above, self.counts, 0)
        total = np.cumsum(counts if counts.any() else self.counts)
        rank = max(1.0, percent / 100 * float(total[-1]))
        return float(values[int(np.searchsorted(total, rank))])

    def otsu(self) -> float:
        """Threshold that separates two classes best (Otsu 1979): pixels above it are foreground.

        The lowest one on a tie; the only value itself for a constant image.
        """
        values = self.first + self.step * np.arange(len(self.counts))
        weight = np.cumsum(self.counts).astype(np.float64)
        mass = np.cumsum(self.counts * values)
        below, above = weight, weight[-1] - weight
        with np.errstate(divide="ignore", invalid="ignore"):
            between = (mass[-1] * weight / weight[-1] - mass) ** 2 / (below * above)
        return float(values[int(np.argmax(np.nan_to_num(between, nan=-1.0, posinf=-1.0)))])
