"""From the bytes of a DICOM file to its attributes and the place of its pixels.

Ordinary files are read by `dicom_scanner`. Whatever is not ordinary is read by pydicom, which knows many quirks of
writers, at ten times the cost.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from lvm_med_monai.slices.dicom import tags
from lvm_med_monai.slices.dicom.attributes import Attributes
from lvm_med_monai.slices.dicom.contents import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    UNDEFINED,
    Contents,
    Pixels,
)
from lvm_med_monai.slices.dicom.deflate import INFLATED_HEADER_BYTES, inflate
from lvm_med_monai.slices.dicom.scanner import HEAD_BYTES, UnusualError, read_meta, scan


class _CappedReader(io.BufferedReader):
    """Reads no more than the file has: Python allocates what is asked for, and a length of 4 GB is easily written.

    Raises:
        ValueError: on reading all that is left, which pydicom does to inflate it without a limit.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            raise ValueError("a deflated data set behind damaged file meta information")
        return super().read(size if size <= HEAD_BYTES else min(size, os.fstat(self.fileno()).st_size))


def read_contents(path: Path) -> Contents:
    """Attributes of a file without its pixels.

    Raises:
        Exception: whatever pydicom raises for a damaged file.
    """
    with path.open("rb", buffering=0) as file:
        head = file.read(HEAD_BYTES)
        try:
            return scan(file, head)
        except UnusualError:
            return _by_pydicom(_CappedReader(file), head)


def read_by_pydicom(path: Path, wanted: frozenset[int]) -> Contents:
    """As `read_contents`, for attributes of one's choice, such as tables that are needed only to decode frames."""
    with path.open("rb", buffering=0) as file:
        head = file.read(HEAD_BYTES)
        return _by_pydicom(_CappedReader(file), head, wanted)


def _by_pydicom(file: io.BufferedReader, head: bytes, wanted: frozenset[int] = tags.WANTED) -> Contents:
    from pydicom.filereader import read_dataset, read_partial

    last: list[tuple[int, str | None, int, int]] = []

    def at_pixels(tag: int, vr: str | None, length: int) -> bool:
        last[:] = [(int(tag), vr, length, body.tell())]
        return tag in tags.PIXEL_TAGS

    stop: Callable[..., bool] = at_pixels
    names: list[Any] = sorted(wanted)
    body: BinaryIO = file
    syntax = media_class = ""
    if DEFLATED.encode() in head:
        with suppress(UnusualError):
            end, syntax, media_class = read_meta(head)
    if syntax == DEFLATED:
        file.seek(end)
        inflated = inflate(file, 0, INFLATED_HEADER_BYTES)
        body, size = io.BytesIO(inflated), len(inflated)
        dataset = read_dataset(body, False, True, stop_when=stop, specific_tags=names)
    else:
        file.seek(0)
        size = os.fstat(file.fileno()).st_size
        dataset = read_partial(file, stop_when=stop, force=True, specific_tags=names)
        syntax = str(dataset.file_meta.get("TransferSyntaxUID", ""))
        media_class = str(dataset.file_meta.get("MediaStorageSOPClassUID", ""))
    implicit, little = dataset.original_encoding
    pixels = None
    tag, vr, length, start = last[0] if last else (0, None, 0, 0)
    if tag in tags.PIXEL_TAGS:
        pixels = Pixels(tag, start, length, vr == "OB")
    guessed = IMPLICIT if implicit else EXPLICIT if little else BIG_ENDIAN
    return Contents(
        attributes=Attributes.of_dataset(dataset),
        syntax=syntax or guessed,
        media_class=media_class,
        little_endian=bool(little),
        pixels=pixels,
        size=size,
        cut=length != UNDEFINED and start + length > size,
        empty=not last,
    )


def deflated_body(file: BinaryIO) -> BinaryIO:
    """The file, moved to the start of its deflated data set."""
    end, _, _ = read_meta(file.read(HEAD_BYTES))
    file.seek(end)
    return file
