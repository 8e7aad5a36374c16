"""Grey pictures of more than 8 bits, as bundles that were trained on 8 bits take them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lvm_med_monai.slices.histogram import Histogram
from lvm_med_monai.slices.windows import to_uint8, window_of_values

FORMATS = ("rgb", "gray")
"""Formats, in a bundle's metadata, of inputs that are pictures of 0 to 255."""


def fits_eight_bits(values: NDArray[Any]) -> bool:
    """Whether values are those of an 8-bit picture.

    They lie in 0 to 255; those in 0 to 1 must be whole numbers, or they are shares of white.
    """
    low, high = values.min(), values.max()
    return bool(low >= 0 and high <= 255 and (high > 1 or (values == np.rint(values)).all()))


def as_eight_bits(values: NDArray[np.float32], units: str) -> NDArray[np.float32]:
    """Values as those of an 8-bit picture: clipping 16 bits at 255 would leave white.

    What does not fit is mapped by `window_of_values`.

    Args:
        values: of a whole image, finite.
        units: ``display`` for files made to be looked at, else ``raw``.

    Returns:
        float32 of 0 to 255, the same values if they fit.
    """
    if fits_eight_bits(values):
        return values
    return to_uint8(values, window_of_values(Histogram.of(values), units)).astype(np.float32)
