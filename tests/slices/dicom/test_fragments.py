"""Fragments of compressed frames: with an offset table, without one, and damaged."""

from __future__ import annotations

import io
import struct

import pytest

from lvm_med_monai.slices.dicom.fragments import FragmentError, frame_spans, read_span

END = b"\xff\xd9"
FRAMES = [b"first " + END, b"second" + END, b"third frame " + END]


def item(data: bytes) -> bytes:
    return b"\xfe\xff\x00\xe0" + struct.pack("<L", len(data)) + data


def element(fragments: list[bytes], table: list[int] | None = None, delimiter: bool = True) -> bytes:
    offsets = struct.pack(f"<{len(table)}L", *table) if table else b""
    return b"head" + item(offsets) + b"".join(map(item, fragments)) + b"\xfe\xff\xdd\xe0\0\0\0\0" * delimiter


def frames(data: bytes, count: int) -> list[bytes]:
    file = io.BytesIO(data)
    return [read_span(file, span) for span in frame_spans(file, 4, len(data), count)]


HALVES = [half for frame in FRAMES for half in (frame[:4], frame[4:])]
STARTS = [0, 8 + 4 + 8 + len(FRAMES[0]) - 4, 2 * (8 + 4 + 8) + len(FRAMES[0]) + len(FRAMES[1]) - 8]


@pytest.mark.parametrize(
    ("data", "count", "expected"),
    [
        pytest.param(element(FRAMES), 3, FRAMES, id="one fragment a frame"),
        pytest.param(element(FRAMES), 1, [b"".join(FRAMES)], id="one frame in three fragments"),
        pytest.param(element(HALVES, STARTS), 3, FRAMES, id="two fragments a frame with a table"),
        pytest.param(element(HALVES), 3, FRAMES, id="two fragments a frame without a table"),
        pytest.param(element([f + b"\0" for f in HALVES]), 3, None, id="padded"),
        pytest.param(element(FRAMES, delimiter=False), 3, FRAMES, id="no delimiter"),
        pytest.param(element([*FRAMES, b"extra" + END]), 3, FRAMES, id="a fourth frame"),
    ],
)
def test_frames(data: bytes, count: int, expected: list[bytes] | None) -> None:
    found = frames(data, count)
    assert len(found) == count
    if expected is not None:
        assert found == expected


@pytest.mark.parametrize(
    ("data", "count", "error"),
    [
        pytest.param(element(FRAMES)[:-30], 3, FragmentError, id="cut"),
        pytest.param(element(FRAMES), 4, FragmentError, id="a frame too few"),
        pytest.param(element([]), 1, FragmentError, id="no fragment"),
        pytest.param(b"headno items at all", 1, ValueError, id="no item"),
        pytest.param(element(HALVES, [0, 5, 9]), 3, ValueError, id="table points between fragments"),
        pytest.param(element([b"a", b"b", b"c", b"d" + END]), 3, FragmentError, id="frames that do not end"),
    ],
)
def test_damaged(data: bytes, count: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        frames(data, count)
