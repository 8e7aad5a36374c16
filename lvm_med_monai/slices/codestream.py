"""The size that a compressed frame declares for itself, which its decoder believes and allocates."""

from __future__ import annotations

import struct

J2K_START = b"\xff\x4f\xff\x51"
"""SOC and SIZ markers (ISO 15444-1 A.5.1); in a JP2 file some boxes come first."""
J2K_SEARCH_BYTES = 4096
"""How far JP2 boxes are skipped."""
JPEG_START = b"\xff\xd8"
JPEG_FRAMES = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
"""Markers of a JPEG frame header (ITU T.81 B.2.2), and that of JPEG-LS (ITU T.87 C.2.2)."""


def declared_size(stream: bytes) -> tuple[int, int] | None:
    """Height and width in pixels that a JPEG, JPEG-LS or JPEG 2000 stream declares.

    Args:
        stream: one compressed frame.

    Returns:
        (height, width), or None if the stream is of another kind or ends before it says so.
    """
    start = stream.find(J2K_START, 0, J2K_SEARCH_BYTES)
    try:
        if start >= 0 and not stream.startswith(JPEG_START):
            right, bottom, left, top = struct.unpack_from(">4I", stream, start + 8)
            return bottom - top, right - left
        return _jpeg_size(stream) if stream.startswith(JPEG_START) else None
    except struct.error:
        return None


def _jpeg_size(stream: bytes) -> tuple[int, int] | None:
    position = len(JPEG_START)
    while True:
        mark, kind, length = struct.unpack_from(">BBH", stream, position)
        if mark != 0xFF:
            return None
        if kind == 0xFF:
            position += 1  # fill bytes may precede a marker
        elif kind in JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", stream, position + 5)
            return height, width
        else:
            position += 2 + length
