"""All tricky series with their truth, each written by a factory."""

from __future__ import annotations

from tests.slices import (  # noqa: F401 - they register cases
    conformance_codecs,
    conformance_colour,
    conformance_files,
    conformance_order,
    conformance_pixels,
)
from tests.slices.conformance import CASES, Expected, Truth

__all__ = ["CASES", "Expected", "Truth"]
