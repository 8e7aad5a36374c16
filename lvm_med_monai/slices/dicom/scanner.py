"""A fast pass over the head of an ordinary DICOM file (PS3.5 section 7, PS3.10 section 7).

Sequences are skipped, without recursion, and only the attributes in `dicom_tags.WANTED` are kept. Whatever is not
ordinary is refused and left to pydicom.
"""

from __future__ import annotations

import io
from struct import Struct
from typing import Any, BinaryIO

from lvm_med_monai.slices.dicom import tags
from lvm_med_monai.slices.dicom.attributes import Attributes, Raw
from lvm_med_monai.slices.dicom.contents import BIG_ENDIAN, DEFLATED, IMPLICIT, UNDEFINED, Contents, Pixels

HEAD_BYTES = 1 << 14
"""Read at once; most headers are shorter."""
_META = 132
LONG_LENGTHS = frozenset([b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UN", b"UT", b"UC", b"UR", b"SV", b"UV"])
_SHORT = frozenset(
    [
        *(b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL"),
        *(b"SS", b"ST", b"TM", b"UI", b"UL", b"US"),
    ]
)
_HEAD, _IMPLICIT_HEAD = Struct("<HH2sH").unpack_from, Struct("<HHL").unpack_from
_LENGTH = Struct("<L").unpack_from
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_LEFT_TO_PYDICOM = tags.SEQUENCES
"""Sequences that are looked into."""
_MEDIA_CLASS, _SYNTAX = 0x00020002, 0x00020010


class UnusualError(Exception):
    """The file is left to pydicom."""


class _Window:
    """Bytes of a file around a position, read on when the position leaves them.

    Attributes:
        bytes: the bytes.
        start: position of the first of them in the file.
        last: highest index that has the longest head of an element behind it.
    """

    def __init__(self, file: BinaryIO, head: bytes) -> None:
        self.file, self.bytes, self.start, self.last = file, head, 0, len(head) - 12

    def move(self, position: int) -> int:
        """Index in ``bytes`` of a position in the file, moved there if need be."""
        if position - self.start > self.last:
            self.file.seek(position)
            self.bytes, self.start = self.file.read(HEAD_BYTES), position
            self.last = len(self.bytes) - 12
            if self.last < 0:
                raise UnusualError
        return position - self.start

    def value(self, index: int, length: int) -> bytes:
        if index + length <= len(self.bytes):
            return self.bytes[index : index + length]
        self.file.seek(self.start + index)
        value = self.file.read(length)
        if len(value) < length:
            raise UnusualError
        return value


def scan(file: BinaryIO, head: bytes) -> Contents:
    """Attributes of an ordinary file, up to its pixels.

    Args:
        file: open for reading, without a buffer.
        head: its first `HEAD_BYTES`.

    Raises:
        UnusualError: anything but Part 10 in little endian, with known value representations, ascending tags, pixels,
            and no sequence that is looked into.
    """
    position, syntax, media_class = read_meta(head)
    implicit = syntax == IMPLICIT
    if not syntax or syntax in (DEFLATED, BIG_ENDIAN) or not syntax.startswith("1.2.840.10008.1.2"):
        raise UnusualError
    elements: dict[int, Any] = {}
    window, wanted, last = _Window(file, head), tags.WANTED, 0
    while True:
        index = position - window.start
        if index > window.last:
            index = window.move(position)
        # This loop is most of the cost of a header, so the usual element is read without a call.
        group, element, vr, length = _HEAD(window.bytes, index)
        tag, skip = group << 16 | element, 8
        if vr not in _SHORT or implicit:
            tag, vr, length, skip = _element(window.bytes, index, implicit)
        if tag <= last or tag in _LEFT_TO_PYDICOM:
            raise UnusualError
        last = tag
        if tag in tags.PIXEL_TAGS:
            pixels = Pixels(tag, position + skip, length)
            return Contents(Attributes(elements, True), syntax, media_class, True, pixels, file.seek(0, io.SEEK_END))
        if length == UNDEFINED:
            position = _skip_sequence(window, position + skip, implicit, vr)
            continue
        if tag in wanted:
            elements[tag] = Raw(vr.decode() if vr else None, window.value(index + skip, length))
        position += skip + length


def _element(data: bytes, index: int, implicit: bool) -> tuple[int, bytes, int, int]:
    """(tag, VR, length of the value, bytes before the value) of the element whose head begins at ``index``."""
    if implicit:
        group, element, length = _IMPLICIT_HEAD(data, index)
        return group << 16 | element, b"", length, 8
    group, element, vr, length = _HEAD(data, index)
    if vr in _SHORT:
        return group << 16 | element, vr, length, 8
    if vr not in LONG_LENGTHS:
        raise UnusualError
    return group << 16 | element, vr, _LENGTH(data, index + 8)[0], 12


def _skip_sequence(window: _Window, position: int, implicit: bool, vr: bytes) -> int:
    """Position behind a sequence of undefined length that begins at ``position``."""
    if vr == b"UN":
        raise UnusualError  # its items are implicit
    depth = 1
    while depth:
        index = window.move(position)
        group, element, length = _IMPLICIT_HEAD(window.bytes, index)
        tag, skip = group << 16 | element, 8
        if tag in (_ITEM_END, _SEQUENCE_END):
            depth, length = depth - 1, 0
        elif tag != _ITEM:
            tag, vr, length, skip = _element(window.bytes, index, implicit)
            if length == UNDEFINED and vr == b"UN":
                raise UnusualError
        if length == UNDEFINED:
            depth, length = depth + 1, 0
        position += skip + length
    return position


def read_meta(head: bytes) -> tuple[int, str, str]:
    """(end, transfer syntax, SOP class) of the file meta information. Raises `UnusualError` if it is not ordinary."""
    if head[_META - 4 : _META] != b"DICM":
        raise UnusualError
    position, found = _META, {}
    while head[position : position + 2] == b"\x02\0" and position + 12 <= len(head):
        tag, _, length, skip = _element(head, position, implicit=False)
        found[tag] = head[position + skip : position + skip + length]
        position += skip + length
    if position + 12 > len(head):
        raise UnusualError
    syntax, media_class = (found.get(tag, b"").decode("latin-1").rstrip("\0 ") for tag in (_SYNTAX, _MEDIA_CLASS))
    return position, syntax, media_class
