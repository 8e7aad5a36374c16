"""Pictures in the frame in which they are stored, so that coordinates mean what the file's owner means by them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monai.config import PathLike
from monai.data import ImageReader, NibabelReader
from monai.utils import ensure_tuple
from numpy import ndarray

from lvm_med_monai.data.sample_reader import SampleReader

_NIFTI = (".nii", ".nii.gz")


def is_nifti(path: PathLike) -> bool:
    """Whether a file is NIfTI, by its name."""
    return Path(path).name.lower().endswith(_NIFTI)


class StoredReader(ImageReader):
    """Reads one picture or volume without turning it: ``reader="lvm_med_monai.data.StoredReader"``.

    `SampleReader` turns NIfTI files as radiologists look at them. Boxes and clicks that annotators give are indices of
    the stored array, so NIfTI stays as it is here. Pictures, DICOM and slices of an extracted folder have one frame
    only, columns and rows, and are `SampleReader`'s.
    """

    def __init__(self) -> None:
        super().__init__()
        self._nifti = NibabelReader()
        self._others = SampleReader()

    def verify_suffix(self, filename: Sequence[PathLike] | PathLike) -> bool:
        """True for whatever exists."""
        return self._others.verify_suffix(filename)

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> tuple[ImageReader, Any]:
        """Open the file by the reader that is right for it."""
        reader = self._nifti if all(is_nifti(name) for name in ensure_tuple(data)) else self._others
        return reader, reader.read(data, **kwargs)

    def get_data(self, img: tuple[ImageReader, Any]) -> tuple[ndarray, dict]:
        """Array (W, H[, D][, C]) and its metadata."""
        reader, opened = img
        return reader.get_data(opened)
