"""Perceptual hashes of slices, by which near duplicates are told."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lvm_med_monai.slices.windows import Window, to_uint8

ROWS, COLUMNS = 8, 9
"""Of the small picture; each of its rows gives eight differences."""
SAMPLES = 64
"""Pixels of a side that are enough to judge by: at least seven a side of each area."""
RGB_WEIGHTS = (299, 587, 114)
"""Luma of ITU-R BT.601, in thousandths."""


def difference_hash(pixels: NDArray[Any], window: Window) -> str:
    """Difference hash: whether each of 8 x 9 areas is brighter than the one at its right.

    Of large slices every n-th row and column is taken, so that `SAMPLES` to twice as many remain. They are windowed to
    8 bits and averaged over areas whose sizes differ by at most a pixel. The hash is the same on every machine.

    Args:
        pixels: (H, W) in modality units, or (H, W, 3) uint8.
        window: its window; colour ignores it.

    Returns:
        64 bits as 16 hexadecimal digits, the first area in the highest bit.

    References:
        N. Krawetz, "Kind of Like That", 2013 (hackerfactor.com).
    """
    pixels = pixels[:: max(1, pixels.shape[0] // SAMPLES), :: max(1, pixels.shape[1] // SAMPLES)]
    grey = pixels @ np.array(RGB_WEIGHTS) if pixels.ndim == 3 else to_uint8(pixels, window)
    sums, _ = _area_sums(grey, ROWS, axis=0)
    sums, widths = _area_sums(sums, COLUMNS, axis=1)
    # The heights are equal along a row; cross-multiplying by the widths compares means without dividing.
    left, right = sums[:, :-1] * widths[1:], sums[:, 1:] * widths[:-1]
    return np.packbits(left > right).tobytes().hex()


def _area_sums(array: NDArray[Any], count: int, axis: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sums over ``count`` runs along an axis, and their lengths; where it is shorter, pixels are repeated."""
    edges = np.arange(count + 1) * array.shape[axis] // count
    lengths = np.maximum(np.diff(edges), 1)
    return np.add.reduceat(array, edges[:-1], axis=axis, dtype=np.int64), lengths


def hamming(a: str, b: str) -> int:
    """Number of bits by which two hashes of the same length differ, 0 to 64."""
    return (int(a, 16) ^ int(b, 16)).bit_count()
