"""Where each frame of compressed pixels lies in its file (PS3.5 A.4)."""

from __future__ import annotations

import itertools
import struct
from typing import BinaryIO

ITEM, DELIMITER = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
JPEG_END = b"\xff\xd9"
"""End of a JPEG, JPEG-LS or JPEG 2000 stream; the last bytes of a frame but for one of padding."""

Span = tuple[tuple[int, int], ...]
"""(offset in the file, bytes) of each fragment of a frame."""


class FragmentError(ValueError):
    """The fragments end early; the message is fit for a reject."""


def frame_spans(file: BinaryIO, start: int, size: int, n_frames: int) -> tuple[Span, ...]:
    """Fragments of each frame, found without reading their bytes.

    Args:
        file: open for reading.
        start: offset of the first item, the basic offset table.
        size: bytes of the file.
        n_frames: frames that the header declares.

    Returns:
        ``n_frames`` spans.

    Raises:
        ValueError: there are no fragments; `FragmentError` if they end early or are fewer than the frames.
    """
    table, fragments = _fragments(file, start, size)
    if len(fragments) < n_frames:
        raise FragmentError(f"holds {len(fragments)} fragments for {n_frames} frames; copy the file again")
    if n_frames == 1:
        return (tuple(fragments),)
    if len(fragments) == n_frames:
        return tuple((fragment,) for fragment in fragments)
    groups = _by_table(table, fragments) if len(table) == n_frames else _by_end(file, fragments)
    if len(groups) < n_frames:
        raise FragmentError(f"holds {len(groups)} compressed frames of {n_frames}; copy the file again")
    return tuple(groups[:n_frames])


def read_span(file: BinaryIO, span: Span) -> bytes:
    """Bytes of a frame."""
    parts = []
    for offset, length in span:
        file.seek(offset)
        parts.append(file.read(length))
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _fragments(file: BinaryIO, start: int, size: int) -> tuple[tuple[int, ...], list[tuple[int, int]]]:
    """Offset table and fragments. A missing delimiter behind a whole last fragment is common, and harmless."""
    items: list[tuple[int, int]] = []
    position = start
    while position + 8 <= size:
        file.seek(position)
        head = file.read(8)
        if head[:4] == DELIMITER:
            break
        if head[:4] != ITEM:
            raise ValueError("the compressed pixels are not a sequence of fragments")
        length = int.from_bytes(head[4:], "little")
        items.append((position + 8, length))
        position += 8 + length
    if position > size or len(items) < 2:
        raise FragmentError("the compressed pixels end early; copy the file again")
    offset, length = items[0]
    file.seek(offset)
    return struct.unpack(f"<{length // 4}L", file.read(length // 4 * 4)), items[1:]


def _by_table(table: tuple[int, ...], fragments: list[tuple[int, int]]) -> list[Span]:
    first = fragments[0][0]
    starts = [offset - first for offset, _ in fragments]  # the table counts from the head of the first fragment
    bounds = [starts.index(offset) if offset in starts else -1 for offset in table]
    if -1 in bounds or bounds != sorted(set(bounds)):
        raise ValueError("the offset table of the compressed frames points between fragments")
    return [tuple(fragments[a:b]) for a, b in itertools.pairwise([*bounds, len(fragments)])]


def _by_end(file: BinaryIO, fragments: list[tuple[int, int]]) -> list[Span]:
    """Without a table a frame ends with the fragment that ends its stream, padding apart."""
    groups: list[Span] = []
    current: list[tuple[int, int]] = []
    for offset, length in fragments:
        current.append((offset, length))
        file.seek(offset + max(0, length - 10))
        if JPEG_END in file.read(min(10, length)):
            groups.append(tuple(current))
            current = []
    return groups
