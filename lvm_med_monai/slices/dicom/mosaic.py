"""Siemens mosaics: the slices of one volume as tiles of a single image (dcm2niix and nibabel read them alike)."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lvm_med_monai.slices.dicom import tags
from lvm_med_monai.slices.dicom.attributes import Attributes
from lvm_med_monai.slices.dicom.file import read_by_pydicom

SIEMENS_MR = "SIEMENS MR HEADER"
SIEMENS_CSA = "SIEMENS CSA HEADER"


class UnsupportedError(Exception):
    """A variant that is not read; the message is fit for a reject."""


@dataclass(frozen=True)
class Mosaic:
    """Slices tiled row by row in one image.

    Attributes:
        n_slices: number of slices; tiles behind the last are empty.
        grid: tiles along each side of the image.
        tile_shape: (rows, columns) of a tile.
        normal: (3,) direction from one slice to the next, LPS, of the CSA header; None if there is no such header.
    """

    n_slices: int
    grid: int
    tile_shape: tuple[int, int]
    normal: tuple[float, ...] | None

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of the image."""
        return self.grid * self.tile_shape[0], self.grid * self.tile_shape[1]

    def corner(self, index: int) -> tuple[int, int]:
        """(row, column) of the first pixel of a tile."""
        return index // self.grid * self.tile_shape[0], index % self.grid * self.tile_shape[1]

    def position(
        self,
        index: int,
        origin: tuple[float, ...],
        orientation: tuple[float, ...],
        spacing: tuple[float, float],
        step: float,
    ) -> tuple[float, ...]:
        """Centre of the first pixel of a slice, LPS mm.

        The header's position is that of an image as large as the mosaic around the same centre, so the first slice
        begins half the difference further in. The others follow along the normal; without a CSA header along
        row x column.

        Args:
            index: of the slice.
            origin: ImagePositionPatient.
            orientation: ImageOrientationPatient.
            spacing: PixelSpacing (y, x), mm.
            step: distance of slices, mm.
        """
        row, column = np.array(orientation[:3]), np.array(orientation[3:])
        rows, columns = (full - tile for full, tile in zip(self.shape, self.tile_shape, strict=True))
        first = np.array(origin) + row * spacing[1] * columns / 2 + column * spacing[0] * rows / 2
        normal = np.cross(row, column) if self.normal is None else np.array(self.normal)
        return tuple((first + index * step * normal).tolist())


def find_mosaic(path: Path, attributes: Attributes, kinds: tuple[str, ...]) -> Mosaic | None:
    """How a file is tiled, or None if it is no mosaic.

    Raises:
        UnsupportedError: a mosaic that does not tell its number of slices.
    """
    if "MOSAIC" not in kinds:
        return None
    n_slices, normal = _csa(path)
    if n_slices is None and attributes.text(tags.SIEMENS_MR_CREATOR) == SIEMENS_MR:
        n_slices = _private_integer(attributes, tags.SIEMENS_MOSAIC_IMAGES)
    rows, columns = attributes.integer(tags.ROWS) or 0, attributes.integer(tags.COLUMNS) or 0
    grid = math.ceil(math.sqrt(n_slices)) if n_slices and n_slices > 0 else 0
    if not n_slices or not grid:
        raise UnsupportedError("a mosaic that does not tell its number of slices; export it without anonymising it")
    if rows % grid or columns % grid:
        raise UnsupportedError(f"a mosaic whose sides are no multiples of {grid}, which {n_slices} slices ask for")
    return Mosaic(n_slices, grid, (rows // grid, columns // grid), normal)


def _csa(path: Path) -> tuple[int | None, tuple[float, ...] | None]:
    """Number of slices and slice normal of the CSA header."""
    found = read_by_pydicom(path, frozenset([tags.SIEMENS_CSA_CREATOR, tags.SIEMENS_CSA_IMAGE])).attributes
    if found.text(tags.SIEMENS_CSA_CREATOR) != SIEMENS_CSA or tags.SIEMENS_CSA_IMAGE not in found:
        return None, None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from nibabel.nicom import csareader

        try:
            header = csareader.read(found.value(tags.SIEMENS_CSA_IMAGE))
            n_slices, normal = csareader.get_n_mosaic(header), csareader.get_slice_normal(header)
        except Exception as error:  # nibabel raises many types on damaged headers
            raise UnsupportedError("a mosaic with a damaged CSA header") from error
    return n_slices, None if normal is None else tuple(float(v) for v in normal)


def _private_integer(attributes: Attributes, tag: int) -> int | None:
    value = attributes.value(tag)
    if isinstance(value, bytes):
        return int.from_bytes(value[:2], "little") if len(value) >= 2 else None
    return None if value in (None, "") else int(value)
