"""Series of a DICOMweb server, checked before MONAI Label makes one volume of whatever they hold."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pydicom
from monailabel.datastore.utils.convert import dicom_to_nifti

TOLERANCE = 1e-3
"""How far two direction cosines of one plane may differ."""


class SeriesError(ValueError):
    """A series is no single volume; the message says why."""


def checked_dicom_to_nifti(series_dir: str, is_seg: bool = False) -> str:
    """MONAI Label's ``dicom_to_nifti`` for a series of parallel slices of one kind and size.

    Raises:
        SeriesError: it is none, or pixels are missing; ITK stacks slices of several planes without a word.
    """
    if not is_seg:
        folder = Path(series_dir)
        check_series(sorted(folder.iterdir()) if folder.is_dir() else [folder])
    return str(dicom_to_nifti(series_dir, is_seg))


def check_series(files: Iterable[Path]) -> None:
    """Raises SeriesError unless files hold parallel slices of one kind and size, with all their pixels."""
    slices = [pydicom.dcmread(file) for file in files]
    for item in slices:
        _check_pixels(item)
    for keyword, what in (("SOPClassUID", "kinds of images"), ("Rows", "sizes"), ("Columns", "sizes")):
        if len({item.get(keyword) for item in slices}) > 1:
            raise SeriesError(f"the series holds images of several {what} ({keyword}): make series of one each")
    planes = np.array([item.get("ImageOrientationPatient") or [0] * 6 for item in slices], dtype=np.float64)
    if np.ptp(planes, axis=0).max() > TOLERANCE:
        raise SeriesError(
            "the series holds slices of several planes (ImageOrientationPatient): make series of one each"
        )


def _check_pixels(item: pydicom.Dataset) -> None:
    if "PixelData" not in item or "Rows" not in item:
        kind = pydicom.uid.UID(str(item.get("SOPClassUID", ""))).name
        raise SeriesError(f"the series holds no pictures: {kind or 'its kind is not known'} has no pixels")
    if item.file_meta.TransferSyntaxUID.is_compressed:
        return
    bits = int(item.BitsAllocated) * int(item.get("SamplesPerPixel", 1))
    expected = int(item.Rows) * int(item.Columns) * int(item.get("NumberOfFrames") or 1) * bits // 8
    if len(item.PixelData) < expected:
        raise SeriesError(f"the pixels of a slice are cut off: {len(item.PixelData)} of {expected} bytes")
