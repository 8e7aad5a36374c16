"""What a file may ask for before anything is decoded.

A header of a few bytes can declare terabytes. Every reader compares what the header declares with these limits and
with the size of the file first, so a hostile or broken file costs a reject and no memory.
"""

from __future__ import annotations

MAX_SLICE_PIXELS = 1 << 28
"""Pixels of one slice (16384 x 16384): a whole-slide tile pyramid does not belong into a slice set."""
MAX_VOLUME_BYTES = 4 << 30
"""Decoded bytes of one stack."""
MAX_FRAMES = 1 << 17
"""Frames of one file."""
MAX_DEFLATE_RATIO = 1032
"""Deflate cannot compress better than this (zlib's technical notes), so a larger ratio is a false header."""


def size_fault(height: int, width: int, frames: int, bytes_per_pixel: int) -> str | None:
    """Why declared dimensions are not acceptable, or None.

    Args:
        height: rows of a slice.
        width: columns of a slice.
        frames: slices.
        bytes_per_pixel: of all samples of a decoded pixel.
    """
    if height < 1 or width < 1 or frames < 1:
        return f"declares an empty image of {frames} x {height} x {width}"
    if height * width > MAX_SLICE_PIXELS:
        return f"declares slices of {height} x {width} pixels, more than {MAX_SLICE_PIXELS}"
    if frames > MAX_FRAMES:
        return f"declares {frames} frames, more than {MAX_FRAMES}"
    if height * width * frames * bytes_per_pixel > MAX_VOLUME_BYTES:
        return f"declares {height * width * frames * bytes_per_pixel} bytes, more than {MAX_VOLUME_BYTES}"
    return None
