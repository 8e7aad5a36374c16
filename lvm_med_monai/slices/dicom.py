"""DICOM files -> stacks and rejects."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from lvm_med_monai.slices.dicom_frames import Frame, list_frames
from lvm_med_monai.slices.dicom_header import NATIVE, Header, read_header
from lvm_med_monai.slices.dicom_pixels import PLUGINS
from lvm_med_monai.slices.dicom_series import build_stack, group_frames
from lvm_med_monai.slices.stack import Reject, Stack

JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
PHOTOMETRICS = frozenset(
    ["MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"]
)
"""Photometric interpretations that become grey values or RGB (PS3.3 C.7.6.3.1.2)."""


def read_dicom(paths: Sequence[Path]) -> Iterator[Stack | Reject]:
    """Stacks of all series among some files, without decoding pixels.

    Args:
        paths: files in any order; the result does not depend on it.

    Yields:
        First a reject for each file that holds no readable slice, then the stacks. A stack is flagged ``missing`` when
        a file of its series was rejected as damaged.
    """
    frames: list[Frame] = []
    damaged: set[Path] = set()
    for path in sorted(paths):
        result = _frames(path)
        if isinstance(result, Reject):
            if result.reason in ("corrupt", "truncated"):
                damaged.add(path)
            yield result
        else:
            frames.extend(result)
    folders = {path.parent for path in damaged}
    for group in group_frames(frames):
        # A damaged file may not tell its series any more; what lies in its folder is suspected of lacking a slice.
        yield build_stack(group, missing=any(frame.image.path.parent in folders for frame in group.frames))


def _frames(path: Path) -> list[Frame] | Reject:
    header = read_header(path)
    if isinstance(header, Reject):
        return header
    if fault := _pixel_fault(header):
        return fault
    try:
        with warnings.catch_warnings():
            # pydicom converts values when they are asked for, and its warnings quote them.
            warnings.simplefilter("ignore")
            return list_frames(header)
    except Exception as error:  # a value that cannot be converted raises what pydicom likes
        return Reject(path, "corrupt", f"an attribute of the image cannot be read ({type(error).__name__})")


def _pixel_fault(header: Header) -> Reject | None:
    if header.syntax not in NATIVE and header.syntax not in PLUGINS:
        return Reject(header.path, "unsupported", f"no decoder for transfer syntax {_known_uid(header.syntax)}")
    photometric = str(header.dataset.get("PhotometricInterpretation") or "MONOCHROME2")
    if photometric not in PHOTOMETRICS:
        known = ", ".join(sorted(PHOTOMETRICS))
        return Reject(header.path, "unsupported", f"photometric interpretation is none of {known}")
    if header.syntax == JPEG_EXTENDED and int(header.dataset.BitsStored) != 8:
        return Reject(header.path, "unsupported", "12-bit JPEG: no free decoder reads it reliably; transcode the file")
    if int(header.dataset.BitsAllocated) == 1:
        return Reject(header.path, "unsupported", "one bit a pixel: a mask, not an image")
    return None


def _known_uid(uid: str) -> str:
    """A standard UID as it is; others may name an institution and are withheld."""
    return uid if uid.startswith("1.2.840.10008.") else "(private)"
