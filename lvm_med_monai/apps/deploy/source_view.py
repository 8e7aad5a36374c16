"""One-frame headers of slices, which is what highdicom asks of sources.

highdicom takes either single-frame files or one multi-frame file, wants exactly equal orientations, and refuses several
frames without positions. A stack of ours may be anything of that, so each slice is shown to it as a file of its own.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage
from pydicom.valuerep import DSfloat

from lvm_med_monai.apps.deploy.series import SourceImage

MADE_UP_SPACE = "2.25.1"
LEFT_OUT = frozenset(["NumberOfFrames", "SliceThickness"])


def slice_view(image: SourceImage, index: int, instance: str) -> Dataset:
    """Header of one slice as if it were a file.

    Args:
        image: the stack.
        index: which slice.
        instance: SOPInstanceUID of the view; a made-up one tells the frames of a file apart.

    Returns:
        The reduced header with the slice's place and a class of single frames. A slice without a place in the patient
        gets one in pixel indices and a made-up frame of reference; the writer takes all of that out again.
    """
    header, geometry = image.header(index), image.stack.geometry
    view = Dataset()
    for element in header:
        if element.keyword not in LEFT_OUT:
            # an element added as it is would be shared with the header
            setattr(view, element.keyword, element.value)
    view.SOPClassUID, view.SOPInstanceUID = SecondaryCaptureImageStorage, instance
    view.Rows, view.Columns = image.stack.height, image.stack.width
    view.PixelSpacing = _decimals(geometry.spacing)
    view.SliceThickness = thickness(image)
    if image.placed:
        view.ImageOrientationPatient = _decimals(orthonormal(geometry.row_cosines, geometry.column_cosines))
        view.ImagePositionPatient = _decimals(geometry.origins[index])
    else:
        view.FrameOfReferenceUID, view.ImageOrientationPatient = MADE_UP_SPACE, [1, 0, 0, 0, 1, 0]
        view.ImagePositionPatient = [0, 0, -index]  # highdicom orders frames against row x column
    return view


def orthonormal(row: NDArray[np.float64], column: NDArray[np.float64]) -> list[float]:
    """Six cosines of unit length and at right angles, which sources have but for rounding.

    >>> orthonormal(np.array([1.0005, 0, 0]), np.array([0.001, 1.0, 0]))
    [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    """
    row = row / np.linalg.norm(row)
    column = column - (column @ row) * row
    return [*row.tolist(), *(column / np.linalg.norm(column)).tolist()]


def thickness(image: SourceImage) -> float | None:
    """Thickness of the slices, mm: the header's, else their distance, else None."""
    stated = image.header(0).get("SliceThickness")
    return float(stated) if stated else image.stack.geometry.slice_spacing


def _decimals(numbers: object) -> list[DSfloat]:
    return [DSfloat(float(number), auto_format=True) for number in numbers]  # type: ignore[attr-defined]  # iterable
