"""Deciding from the header of a DICOM file whether it holds slices, and whether it tells the truth (PS3.3, PS3.10)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

from lvm_med_monai.slices.dicom import tags
from lvm_med_monai.slices.dicom.attributes import Attributes
from lvm_med_monai.slices.dicom.codecs import decoder_fault
from lvm_med_monai.slices.dicom.contents import DEFLATED, NATIVE, RLE, UNDEFINED, Contents, Pixels
from lvm_med_monai.slices.dicom.deflate import INFLATED_HEADER_BYTES, inflated_length
from lvm_med_monai.slices.dicom.file import deflated_body, read_contents
from lvm_med_monai.slices.dicom.fragments import FragmentError, Span, frame_spans
from lvm_med_monai.slices.limits import size_fault
from lvm_med_monai.slices.stack import Reject

DICOMDIR = "1.2.840.10008.1.3.10"
RLE_RATIO = 64
"""Run lengths cannot compress better: two bytes for 128 (PS3.5 G.3)."""
NOT_SLICES = {
    "1.2.840.10008.5.1.4.1.1.66.4": "a segmentation",
    "1.2.840.10008.5.1.4.1.1.66.7": "a label map",
    "1.2.840.10008.5.1.4.1.1.66.5": "a surface",
    "1.2.840.10008.5.1.4.1.1.66": "raw data",
    "1.2.840.10008.5.1.4.1.1.481.2": "a radiotherapy dose",
    "1.2.840.10008.5.1.4.1.1.77.1.6": "a whole-slide image",
}
"""SOP classes that have pixels but no slices to learn from."""


@dataclass(frozen=True, eq=False)
class Header:
    """The header of a file that holds slices.

    Attributes:
        path: the file.
        attributes: dropped once the slices are listed.
        syntax: transfer syntax UID.
        little_endian: byte order of the values, pixels included.
        pixels: where the pixels lie.
        n_frames: frames of the file.
        spans: fragments of each frame if they are compressed, else empty.
    """

    path: Path
    attributes: Attributes
    syntax: str
    little_endian: bool
    pixels: Pixels
    n_frames: int
    spans: tuple[Span, ...]


def looks_like_dicom(start: bytes) -> bool:
    """Whether the first 132 or more bytes of a file are DICOM's: the prefix, or a first tag of group 0002 or 0008."""
    if start[128:132] == b"DICM":
        return True
    little = start[:2] in (b"\x02\x00", b"\x08\x00") and start[3:4] == b"\x00"
    big = start[:2] == b"\x00\x08" and start[2:3] == b"\x00"
    return (little or big) and len(start) >= 8


def read_header(path: Path) -> Header | Reject:
    """Read a header up to the pixels and check what it declares against the size of the file.

    Args:
        path: a file for which `looks_like_dicom` holds.

    Returns:
        The header, or why the file holds no slices that can be read.
    """
    try:
        with warnings.catch_warnings():
            # pydicom's warnings quote values.
            warnings.simplefilter("ignore")
            return _read(path)
    except Exception as error:  # pydicom raises many types on damaged files; each costs that file alone
        return Reject(path, "corrupt", f"the header cannot be read ({type(error).__name__})")


def _read(path: Path) -> Header | Reject:
    contents = read_contents(path)
    if fault := _class_fault(path, contents):
        return fault
    if contents.pixels is None:
        return _without_pixels(path, contents)
    attributes = contents.attributes
    rows, columns, bits = (attributes.integer(tag) for tag in (tags.ROWS, tags.COLUMNS, tags.BITS_ALLOCATED))
    if rows is None or columns is None or bits is None:
        return Reject(path, "corrupt", "has pixels but lacks Rows, Columns or BitsAllocated")
    frames = attributes.integer(tags.NUMBER_OF_FRAMES) or 1
    samples = attributes.integer(tags.SAMPLES_PER_PIXEL) or 1
    if oversize := size_fault(rows, columns, frames, max(1, samples * bits // 8)):
        return Reject(path, "too_large", oversize)
    needed = (rows * columns * frames * samples * bits + 7) // 8
    spans: tuple[Span, ...] = ()
    if contents.syntax in NATIVE:
        fault = _native_fault(path, contents, contents.pixels, needed)
    elif cure := decoder_fault(contents.syntax, attributes.integer(tags.BITS_STORED) or bits, samples == 3):
        fault = Reject(path, "unsupported", cure)
    else:
        fault, spans = _encapsulated(path, contents, contents.pixels, frames)
        if contents.syntax == RLE and not fault and RLE_RATIO * sum(n for s in spans for _, n in s) < needed:
            fault = Reject(path, "truncated", f"its run lengths cannot hold the {needed} bytes of pixels it declares")
    if fault:
        return fault
    return Header(path, attributes, contents.syntax, contents.little_endian, contents.pixels, frames, spans)


def _class_fault(path: Path, contents: Contents) -> Reject | None:
    attributes = contents.attributes
    sop_class = attributes.text(tags.SOP_CLASS_UID) or contents.media_class
    if sop_class == DICOMDIR or tags.DIRECTORY_RECORD_SEQUENCE in attributes:
        return Reject(path, "dicomdir", "an index of other files; those are read themselves")
    if sop_class in NOT_SLICES:
        return Reject(path, "not_image", NOT_SLICES[sop_class])
    if contents.empty:
        return Reject(path, "unrecognised", "no DICOM elements")
    if "LOCALIZER" in attributes.texts(tags.IMAGE_TYPE):
        return Reject(path, "localizer", "a scout image, with lines instead of a slice of its own")
    return None


def _without_pixels(path: Path, contents: Contents) -> Reject:
    if contents.syntax == DEFLATED and contents.size >= INFLATED_HEADER_BYTES:
        return Reject(path, "too_large", f"inflates to more than {INFLATED_HEADER_BYTES} bytes before its pixels")
    if contents.attributes.integer(tags.ROWS) is None:
        return Reject(path, "not_image", "a DICOM object without pixels")
    if contents.cut:
        return Reject(path, "truncated", "the file ends before its pixels")
    return Reject(path, "no_pixels", "image attributes without pixels")


def _native_fault(path: Path, contents: Contents, pixels: Pixels, needed: int) -> Reject | None:
    if pixels.length == UNDEFINED:
        return Reject(path, "corrupt", "compressed pixels, but the transfer syntax is missing or says otherwise")
    if contents.attributes.text(tags.PHOTOMETRIC_INTERPRETATION) == "YBR_FULL_422":
        needed = needed * 2 // 3
    if contents.syntax == DEFLATED:
        with path.open("rb") as file:
            present = inflated_length(deflated_body(file), pixels.offset + needed) - pixels.offset
    else:
        present = contents.size - pixels.offset
    if min(present, pixels.length) < needed:
        return Reject(path, "truncated", f"holds {min(present, pixels.length)} of the {needed} bytes of pixels")
    if pixels.length > present + 1 and contents.syntax != DEFLATED:
        return Reject(path, "truncated", "the pixels are declared longer than the file; copy it again")
    return None


def _encapsulated(
    path: Path, contents: Contents, pixels: Pixels, frames: int
) -> tuple[Reject | None, tuple[Span, ...]]:
    """Some decoders return half a picture for half a stream without a word, so the fragments are walked first."""
    try:
        with path.open("rb") as file:
            return None, frame_spans(file, pixels.offset, contents.size, frames)
    except FragmentError as error:
        return Reject(path, "truncated", str(error)), ()
    except ValueError as error:
        return Reject(path, "corrupt", str(error)), ()
