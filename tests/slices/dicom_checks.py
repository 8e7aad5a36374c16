"""Reading a folder of DICOM files in tests, and the one check that most of them end with."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lvm_med_monai.slices.dicom.reader import read_dicom
from lvm_med_monai.slices.stack import Reject, Stack
from tests.slices.factories import SPACING_Z, stored_pixels


def read(folder: Path) -> tuple[list[Stack], list[Reject]]:
    results = list(read_dicom([path for path in folder.rglob("*") if path.is_file()]))
    return [r for r in results if isinstance(r, Stack)], [r for r in results if isinstance(r, Reject)]


def check_ct(stack: Stack, indices: list[int], intercept: int = -1024) -> None:
    """Slices ``indices`` of `stored_pixels` in HU, in this order, at their places."""
    assert stack.units == "HU"
    array = stack.array()
    assert array.dtype == np.int16
    assert np.array_equal(array, [stored_pixels(i).astype(np.int16) + intercept for i in indices])
    assert np.allclose(stack.geometry.origins, [[-20, -10, i * SPACING_Z] for i in indices])
    assert stack.geometry.spacing == (0.75, 0.5)
