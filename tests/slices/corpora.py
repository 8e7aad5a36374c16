"""Reading the files that packages carry, and the same with pydicom, after the rules of the documentation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut

from lvm_med_monai.slices.inputs.walk import iter_stacks
from lvm_med_monai.slices.stack import FrameError, Reject, Stack

TRANSFER_SYNTAX = {"OT-PAL-8-face.dcm": "1.2.840.10008.1.2.1"}
"""Files that name none; the reference is told."""


def files(root: Path) -> list[str]:
    skipped = ("__pycache__", ".py")
    found = (path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    return sorted(name for name in found if not any(part in name for part in skipped))


def read(path: Path) -> tuple[list[Stack], list[Reject]]:
    results = list(iter_stacks(path))
    return [r for r in results if isinstance(r, Stack)], [r for r in results if isinstance(r, Reject)]


def reason(path: Path) -> str | None:
    """The reason for which a file gives no slice, be it found in its header or in its pixels."""
    stacks, rejects = read(path)
    if rejects:
        assert not stacks
        return rejects[0].reason
    try:
        for stack in stacks:
            stack.array()
    except FrameError as error:
        return error.reject.reason
    return None


def reference(path: Path) -> Iterator[np.ndarray]:
    """Frames in modality units or RGB by pydicom, as the documentation of slices describes them."""
    dataset = pydicom.dcmread(path, force=True)
    if path.name in TRANSFER_SYNTAX:
        dataset.file_meta.TransferSyntaxUID = TRANSFER_SYNTAX[path.name]
    count = int(dataset.get("NumberOfFrames") or 1)
    stored = dataset.pixel_array
    for index, frame in enumerate(stored if count > 1 else [stored]):
        if dataset.PhotometricInterpretation == "PALETTE COLOR":
            wide = apply_color_lut(frame, dataset)
            yield (wide >> 8 if wide.dtype.itemsize == 2 else wide).astype(np.uint8)
        elif frame.ndim == 3:
            yield (frame >> (dataset.BitsStored - 8)).astype(np.uint8)
        else:
            yield grey(dataset, frame, index)


def grey(dataset: Any, frame: np.ndarray, index: int) -> np.ndarray:
    values = apply_modality_lut(frame, dataset).astype(np.float64)
    for groups in (dataset.get("PerFrameFunctionalGroupsSequence"), dataset.get("SharedFunctionalGroupsSequence")):
        item = groups[min(index, len(groups) - 1)] if groups else None
        if item is not None and "PixelValueTransformationSequence" in item:
            rescale = item.PixelValueTransformationSequence[0]
            values = frame * float(rescale.RescaleSlope) + float(rescale.RescaleIntercept)
            break
    display = dataset.get("Modality") in ("CR", "DX", "MG", "OT", "RF", "US", "XA")
    if display and "VOILUTSequence" in dataset:
        values = apply_voi_lut(values.astype(int), dataset, prefer_lut=True).astype(np.float64)
    if display and dataset.PhotometricInterpretation == "MONOCHROME1":
        ends = np.array([0, 2**dataset.BitsStored - 1])
        values = apply_modality_lut(ends, dataset).sum() - values
    if "PixelPaddingValue" in dataset:
        mask = frame == dataset.PixelPaddingValue
        values = np.where(mask, -1024 if dataset.Modality == "CT" else min(0, values[~mask].min()), values)
    return values
