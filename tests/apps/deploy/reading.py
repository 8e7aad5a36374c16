"""Results as others read them: highdicom and dicom3tools' validator."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from highdicom.seg import Segmentation, segread
from numpy.typing import NDArray

from tests.apps.deploy.scenes import Truth

PRIVATE_CODES = "Unrecognized defined term = <99LVMMED>"
"""The validator does not know our codes, as it does not know anybody's private ones."""


def validate(path: Path, *faults_of_source: str) -> None:
    """No errors and no warnings, but for private codes and faults that the source has and a reference repeats."""
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy is missing: apt-get install dicom3tools")
    run = subprocess.run([program, "-new", str(path)], capture_output=True, text=True, check=False)
    lines = (run.stdout + run.stderr).splitlines()
    known = (PRIVATE_CODES, *faults_of_source)
    found = [line for line in lines if line.startswith(("Error", "Warning"))]
    assert [line for line in found if not any(text in line for text in known)] == []
    assert lines  # it names the kind of object


def masks_of(seg: Segmentation, keys: list[tuple[str, int]], multi_frame: bool) -> NDArray[np.bool_]:
    """(frames, rows, columns, segments) mask on each (SOPInstanceUID, frame number)."""
    options = {"ignore_spatial_locations": True, "assert_missing_frames_are_empty": True}
    frames = []
    for instance, frame in keys:
        if multi_frame:
            frames.append(seg.get_pixels_by_source_frame(instance, [frame], **options)[0])
        else:
            frames.append(seg.get_pixels_by_source_instance([instance], **options)[0])
    return np.stack(frames) > 0


def dice(paths: list[Path], truth: Truth) -> float:
    """Dice of segment 1 over all frames of a series, from one file for each of its stacks."""
    multi_frame = any(frame > 1 for _, frame in truth)
    found = {key: np.zeros_like(mask) for key, mask in truth.items()}
    for path in paths:
        seg = segread(path)
        sources = {item.ReferencedSOPInstanceUID for item in seg.SourceImageSequence}
        keys = [key for key in truth if key[0] in sources]
        for key, mask in zip(keys, masks_of(seg, keys, multi_frame)[..., 0], strict=True):
            assert not (found[key] & mask).any()  # no stack covers the frames of another
            found[key] |= mask
    overlap = sum((found[key] & truth[key]).sum() for key in truth)
    return float(2 * overlap / sum(found[key].sum() + truth[key].sum() for key in truth))
