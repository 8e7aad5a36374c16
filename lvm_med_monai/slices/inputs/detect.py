"""Which reader a file is for, told by its first bytes and then by its name."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from pathlib import Path
from typing import Literal

from lvm_med_monai.slices.dicom.header import looks_like_dicom
from lvm_med_monai.slices.volumes import itk as itk_volume, nifti

Kind = Literal["dicom", "nifti", "itk", "picture", "hdf5", "zip", "tar", "unknown"]
PLAIN_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\x00", b"MM\x00*", b"BM")
"""First bytes of PNG, JPEG, TIFF (both byte orders) and BMP."""
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
"""First bytes of a zip archive, and of one without members."""
GZIP_MAGIC = b"\x1f\x8b"
ARCHIVE_KINDS: tuple[Kind, ...] = ("zip", "tar")
START_BYTES = 512
"""Bytes that tell the format of a file: one block of tar."""


def first_bytes(path: Path) -> bytes:
    """The first `START_BYTES` of a file; empty if it cannot be opened."""
    try:
        with path.open("rb") as file:
            return file.read(START_BYTES)
    except OSError:
        return b""


def kind_of(path: Path, start: bytes) -> Kind:
    """Kind of a file.

    DICOM's prefix comes first, because its preamble may hold the first bytes of another format. Volume formats whose
    first bytes say nothing are told by suffix. Where the prefix of DICOM is missing, a plausible first tag will do, if
    nothing else fits.

    Args:
        path: the file; opened only if it is gzip, to see whether that holds a tar.
        start: its first `START_BYTES`, or all of it.
    """
    name = path.name.lower()
    if not start:
        return "unknown"
    if start[128:132] == b"DICM":
        return "dicom"
    if name.endswith(nifti.SUFFIXES):
        return "nifti"
    if name.endswith(itk_volume.SUFFIXES) or start.startswith(b"NRRD000"):
        return "itk"
    return _kind_by_content(path, start)


def _kind_by_content(path: Path, start: bytes) -> Kind:
    if start.startswith(ZIP_MAGIC):
        return "zip"
    if start.startswith(HDF5_MAGIC):
        return "hdf5"
    if is_tar_block(_inflated_start(path) if start.startswith(GZIP_MAGIC) else start):
        return "tar"
    if start.startswith(PLAIN_MAGIC):
        return "picture"
    return "dicom" if looks_like_dicom(start) else "unknown"


def is_tar_block(block: bytes) -> bool:
    """Whether 512 bytes are the head of a tar member; its checksum must be right."""
    if len(block) < tarfile.BLOCKSIZE or not block[0]:
        return False
    try:
        tarfile.TarInfo.frombuf(block[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
    except (tarfile.TarError, ValueError):
        return False
    return True


def _inflated_start(path: Path) -> bytes:
    try:
        with gzip.open(path) as file:
            return file.read(START_BYTES)
    except (OSError, EOFError, zlib.error):
        return b""
