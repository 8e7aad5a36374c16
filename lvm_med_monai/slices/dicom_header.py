"""Reading one DICOM header, and deciding whether the file holds slices (PS3.3, PS3.10)."""

from __future__ import annotations

import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from lvm_med_monai.slices.limits import MAX_VOLUME_BYTES, size_fault
from lvm_med_monai.slices.stack import Reject

DEFLATED = "1.2.840.10008.1.2.1.99"
DICOMDIR = "1.2.840.10008.1.3.10"
NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", DEFLATED, "1.2.840.10008.1.2.2")
"""Transfer syntaxes that leave pixels as they are."""
NOT_SLICES = {
    "1.2.840.10008.5.1.4.1.1.66.4": "a segmentation",
    "1.2.840.10008.5.1.4.1.1.66.7": "a label map",
    "1.2.840.10008.5.1.4.1.1.66.5": "a surface",
    "1.2.840.10008.5.1.4.1.1.66": "raw data",
    "1.2.840.10008.5.1.4.1.1.481.2": "a radiotherapy dose",
    "1.2.840.10008.5.1.4.1.1.77.1.6": "a whole-slide image",
}
"""SOP classes that have pixels but no slices to learn from."""
PIXEL_TAGS = (b"\xe0\x7f\x10\x00", b"\xe0\x7f\x08\x00", b"\xe0\x7f\x09\x00", b"\x7f\xe0\x00\x10")
"""(7FE0,0010), float and double pixel data, little endian, and the first of them big endian."""
ITEM, DELIMITER = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"


@dataclass(frozen=True, eq=False)
class Header:
    """A parsed header of a file that holds slices.

    Attributes:
        path: the file.
        dataset: pydicom Dataset without pixels; it is dropped once its slices are listed.
        syntax: transfer syntax UID; where the file names none, the one its bytes agree with.
        n_frames: frames of the file.
    """

    path: Path
    dataset: Any
    syntax: str
    n_frames: int


def looks_like_dicom(start: bytes) -> bool:
    """Whether the first 132 or more bytes of a file are DICOM's: the prefix, or a first tag of group 0002 or 0008."""
    if start[128:132] == b"DICM":
        return True
    little = start[:2] in (b"\x02\x00", b"\x08\x00") and start[3:4] == b"\x00"
    big = start[:2] == b"\x00\x08" and start[2:3] == b"\x00"
    return (little or big) and len(start) >= 8


def read_header(path: Path) -> Header | Reject:
    """Parse a header up to the pixels and check what it declares against the size of the file.

    Args:
        path: a file for which `looks_like_dicom` holds.

    Returns:
        The header, or why the file holds no slices that can be read.
    """
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            # pydicom's warnings quote values.
            warnings.simplefilter("ignore")
            return _read(path, file)
    except Exception as error:  # pydicom raises many types on damaged files; each costs that file alone
        return Reject(path, "corrupt", f"the header cannot be read ({type(error).__name__})")


def _read(path: Path, file: BinaryIO) -> Header | Reject:
    import pydicom

    total = path.stat().st_size
    if _is_deflated(file) and (bomb := _inflate_fault(path, file)):
        return bomb
    file.seek(0)
    dataset = pydicom.dcmread(file, force=True, stop_before_pixels=True)
    syntax = str(dataset.file_meta.get("TransferSyntaxUID", "")) or _guess_syntax(dataset)
    if fault := _class_fault(path, dataset):
        return fault
    rows, columns = dataset.get("Rows"), dataset.get("Columns")
    tail_start = file.tell()
    tag = file.read(4)
    if syntax != DEFLATED and tag not in PIXEL_TAGS:
        if rows is None:
            return Reject(path, "not_image", "a DICOM object without pixels")
        reason = "the file ends before its pixels" if tail_start >= total else "image attributes without pixels"
        return Reject(path, "truncated" if tail_start >= total else "no_pixels", reason)
    if any(dataset.get(name) is None for name in ("Rows", "Columns", "BitsAllocated")):
        return Reject(path, "corrupt", "has pixels but lacks Rows, Columns or BitsAllocated")
    frames = int(dataset.get("NumberOfFrames") or 1)
    samples, bits = int(dataset.get("SamplesPerPixel") or 1), int(dataset.BitsAllocated)
    if oversize := size_fault(int(rows), int(columns), frames, max(1, samples * bits // 8)):
        return Reject(path, "too_large", oversize)
    if syntax not in NATIVE:
        fault = _encapsulated_fault(path, file, tail_start, total)
    elif syntax != DEFLATED:
        fault = _native_fault(path, dataset, (int(rows) * int(columns) * frames, samples, bits), total - tail_start)
    else:
        fault = None
    return fault or Header(path, dataset, syntax, frames)


def _guess_syntax(dataset: Any) -> str:
    implicit, little = dataset.original_encoding
    if implicit:
        return NATIVE[0]
    return NATIVE[1] if little else NATIVE[3]


def _class_fault(path: Path, dataset: Any) -> Reject | None:
    sop_class = str(dataset.get("SOPClassUID") or dataset.file_meta.get("MediaStorageSOPClassUID", ""))
    if sop_class == DICOMDIR or "DirectoryRecordSequence" in dataset:
        return Reject(path, "dicomdir", "an index of other files; those are read themselves")
    if sop_class in NOT_SLICES:
        return Reject(path, "not_image", NOT_SLICES[sop_class])
    if len(dataset) == 0:
        return Reject(path, "unrecognised", "no DICOM elements")
    image_type = dataset.get("ImageType") or ()
    if "LOCALIZER" in ([image_type] if isinstance(image_type, str) else list(image_type)):
        return Reject(path, "localizer", "a scout image, with lines instead of a slice of its own")
    return None


def _native_fault(path: Path, dataset: Any, size: tuple[int, int, int], present: int) -> Reject | None:
    pixels, samples, bits = size
    needed = (pixels * samples * bits + 7) // 8
    if dataset.get("PhotometricInterpretation") == "YBR_FULL_422":
        needed = needed * 2 // 3
    if present < needed + 8:
        return Reject(path, "truncated", f"holds at most {present} of the {needed} bytes of pixels; copy it again")
    return None


def _encapsulated_fault(path: Path, file: BinaryIO, start: int, total: int) -> Reject | None:
    """Walk the fragments (PS3.5 A.4): some decoders return half a picture for half a stream without a word."""
    file.seek(start + 4)
    # A value representation of two letters makes the element's head 12 bytes long, its absence 8.
    first = position = start + (12 if file.read(2).isalpha() else 8)
    while position + 8 <= total:
        file.seek(position)
        head = file.read(8)
        if head[:4] == DELIMITER:
            return None
        if head[:4] != ITEM:
            return Reject(path, "corrupt", "the compressed pixels are not a sequence of fragments")
        position += 8 + int.from_bytes(head[4:], "little")
    # Files whose last fragment is whole but whose delimiter is missing are common, and harmless.
    if position <= total and position > first + 8:
        return None
    return Reject(path, "truncated", "the compressed pixels end early; copy the file again")


def _is_deflated(file: BinaryIO) -> bool:
    from pydicom.filereader import read_file_meta_info

    start = file.read(132)
    if start[128:] != b"DICM":
        return False
    return str(read_file_meta_info(file.name).get("TransferSyntaxUID", "")) == DEFLATED


def _inflate_fault(path: Path, file: BinaryIO) -> Reject | None:
    """Inflate in pieces and stop at the limit: pydicom would inflate all of it even for the header."""
    file.seek(132)
    head = file.read(12)
    file.seek(144 + int.from_bytes(head[8:], "little"))
    engine, produced = zlib.decompressobj(-zlib.MAX_WBITS), 0
    while piece := engine.unconsumed_tail or file.read(1 << 16):
        produced += len(engine.decompress(piece, 1 << 22))
        if produced > MAX_VOLUME_BYTES // 8:
            return Reject(path, "too_large", f"inflates to more than {MAX_VOLUME_BYTES // 8} bytes")
    return None
