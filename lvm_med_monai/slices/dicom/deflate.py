"""Inflating a deflated DICOM file in pieces (PS3.5 A.5), so that a small file cannot ask for much memory."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import BinaryIO

PIECE_BYTES = 1 << 20
"""Inflated at once."""
INFLATED_HEADER_BYTES = 1 << 26
"""Attributes of a deflated file may take this much; a header with thousands of frames takes a tenth of it."""


def inflate(file: BinaryIO, start: int, length: int) -> bytes:
    """Bytes ``start`` to ``start + length`` of the inflated stream, fewer if it ends before; the file is at its start.

    Raises:
        zlib.error: the stream is damaged.
    """
    out = bytearray()
    position = 0
    for piece in _pieces(file):
        out += piece[max(0, start - position) : max(0, start + length - position)]
        position += len(piece)
        if position >= start + length:
            break
    return bytes(out)


def inflated_length(file: BinaryIO, limit: int) -> int:
    """Bytes of the inflated stream, counted up to ``limit`` and kept nowhere.

    Raises:
        zlib.error: the stream is damaged before ``limit``.
    """
    total = 0
    for piece in _pieces(file):
        total += len(piece)
        if total >= limit:
            break
    return total


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    while data := engine.unconsumed_tail or file.read(1 << 16):
        yield engine.decompress(data, PIECE_BYTES)
        if engine.eof:
            return
    yield engine.flush(PIECE_BYTES)
