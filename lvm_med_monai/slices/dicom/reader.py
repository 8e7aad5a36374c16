"""DICOM files -> stacks and rejects."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from lvm_med_monai.slices.dicom import tags
from lvm_med_monai.slices.dicom.frames import Frame, list_frames
from lvm_med_monai.slices.dicom.header import Header, read_header
from lvm_med_monai.slices.dicom.mosaic import UnsupportedError
from lvm_med_monai.slices.dicom.series import build_stack, group_frames
from lvm_med_monai.slices.dicom.twins import unprocessed_twins
from lvm_med_monai.slices.stack import Reject, Stack

PHOTOMETRICS = frozenset(
    ["MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"]
)
"""Photometric interpretations that become grey values or RGB (PS3.3 C.7.6.3.1.2)."""
BITS_ALLOCATED = frozenset([1, 8, 16, 32, 64])
"""Widths of a stored sample that are read; others are packed in ways that the standard has retired."""


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
        result = read_frames(path)
        if isinstance(result, Reject):
            if result.reason in ("corrupt", "truncated"):
                damaged.add(path)
            yield result
        else:
            frames.extend(result)
    twins = {image.path for image in unprocessed_twins(frames)}
    for path in sorted(twins):
        yield Reject(path, "for_processing", "the unprocessed twin of an image that is there for presentation")
    folders = {path.parent for path in damaged}
    for group in group_frames(frame for frame in frames if frame.image.path not in twins):
        # A damaged file may not tell its series any more; what lies in its folder is suspected of lacking a slice.
        yield build_stack(group, missing=any(frame.image.path.parent in folders for frame in group.frames))


def read_frames(path: Path) -> list[Frame] | Reject:
    """Frames of one file, without decoding pixels, or why it gives no slice."""
    header = read_header(path)
    if isinstance(header, Reject):
        return header
    try:
        with warnings.catch_warnings():
            # pydicom converts values when they are asked for, and its warnings quote them.
            warnings.simplefilter("ignore")
            return _pixel_fault(header) or list_frames(header)
    except UnsupportedError as error:
        return Reject(path, "unsupported", str(error))
    except Exception as error:  # a value that cannot be converted raises what pydicom likes
        return Reject(path, "corrupt", f"an attribute of the image cannot be read ({type(error).__name__})")


def _pixel_fault(header: Header) -> Reject | None:
    attributes = header.attributes
    photometric = attributes.text(tags.PHOTOMETRIC_INTERPRETATION) or "MONOCHROME2"
    if photometric not in PHOTOMETRICS:
        known = ", ".join(sorted(PHOTOMETRICS))
        return Reject(header.path, "unsupported", f"photometric interpretation is none of {known}")
    samples = attributes.integer(tags.SAMPLES_PER_PIXEL) or 1
    allocated = attributes.integer(tags.BITS_ALLOCATED) or 0
    stored = attributes.integer(tags.BITS_STORED) or allocated
    if allocated not in BITS_ALLOCATED:
        return Reject(header.path, "unsupported", f"{allocated} bits a sample; transcode the file to 8 or 16")
    if not 1 <= stored <= allocated or samples not in (1, 3):
        return Reject(header.path, "corrupt", "BitsStored or SamplesPerPixel contradicts the other attributes")
    return None
