"""Where each slice of a stack lies in the patient.

Frames of reference: LPS is DICOM's and ITK's (x to the patient's left, y to the back, z to the head), RAS is NIfTI's
and MONAI's (x right, y front, z head). Everything here is LPS in mm unless a name says otherwise. A pixel is addressed
by column x, row y and slice z, counted from 0; coordinates are those of pixel centres (DICOM PS3.3 C.7.6.2.1.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Plane = Literal["axial", "coronal", "sagittal", "oblique"]
FloatArray = NDArray[np.float64]

LPS_TO_RAS: FloatArray = np.diag([-1.0, -1.0, 1.0, 1.0])
"""(4, 4); its own inverse."""
PLANE_NORMALS: dict[Plane, tuple[float, float, float]] = {
    "sagittal": (1.0, 0.0, 0.0),
    "coronal": (0.0, 1.0, 0.0),
    "axial": (0.0, 0.0, 1.0),
}
"""LPS axis to which the normal of each anatomical plane is parallel."""
PLANE_TOLERANCE_DEG = 30.0
"""A plane is called by its anatomical name up to this angle, and oblique beyond; clinical heads are angled by 20."""
GAP_RATIO = 1.5
"""A step above this multiple of the median step is a gap: at least half a slice is missing."""
REGULAR_TOLERANCE = 0.02
"""Steps that differ from the median by less than this share of it count as regular (highdicom uses 1 %)."""
TILT_TOLERANCE_DEG = 0.5
"""Smallest angle between the normal and the line of origins that is a tilt; less is rounding of decimal strings."""
DUPLICATE_TOLERANCE_MM = 0.01
"""Slices closer than this along the normal are at the same position; no scanner steps by less."""
ORTHOGONAL_TOLERANCE = 1e-3
"""Largest cosine between rows and columns, and largest error of their lengths, that are still accepted."""


@dataclass(frozen=True, eq=False)
class SliceGeometry:
    """Positions and orientation of the slices of one stack, which share orientation and pixel spacing.

    Attributes:
        origins: (S, 3) centre of the first pixel of each slice, LPS, mm.
        row_cosines: (3,) unit vector of increasing column index x, LPS.
        column_cosines: (3,) unit vector of increasing row index y, LPS.
        spacing: distance of pixel centres (y, x), mm, as DICOM orders it.

    Raises:
        ValueError: for wrong shapes, numbers that are not finite, directions that are not orthonormal, or a spacing
            that is not positive.
    """

    origins: FloatArray
    row_cosines: FloatArray
    column_cosines: FloatArray
    spacing: tuple[float, float]

    def __post_init__(self) -> None:
        for name in ("origins", "row_cosines", "column_cosines"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        object.__setattr__(self, "spacing", (float(self.spacing[0]), float(self.spacing[1])))
        if self.origins.ndim != 2 or self.origins.shape[1] != 3 or len(self.origins) == 0:
            raise ValueError(f"origins must have shape (S, 3) with S > 0, got {self.origins.shape}")
        if self.row_cosines.shape != (3,) or self.column_cosines.shape != (3,):
            raise ValueError("row and column cosines must have shape (3,)")
        numbers = np.concatenate([self.origins.ravel(), self.row_cosines, self.column_cosines, self.spacing])
        if not np.isfinite(numbers).all():
            raise ValueError("geometry holds a number that is not finite")
        if min(self.spacing) <= 0:
            raise ValueError(f"pixel spacing must be positive, got {self.spacing} mm")
        lengths = np.array([np.linalg.norm(self.row_cosines), np.linalg.norm(self.column_cosines)])
        if np.abs(lengths - 1).max() > ORTHOGONAL_TOLERANCE:
            raise ValueError(f"row and column cosines must be unit vectors, their lengths are {lengths.tolist()}")
        if abs(self.row_cosines @ self.column_cosines) > ORTHOGONAL_TOLERANCE:
            raise ValueError("row and column cosines must be perpendicular")

    @classmethod
    def from_affine(cls, affine: ArrayLike, n_slices: int) -> SliceGeometry:
        """Geometry of a regular volume.

        Args:
            affine: (4, 4) from voxel index (column x, row y, slice z) to LPS mm.
            n_slices: number of slices, S.

        Returns:
            The geometry whose ``affine`` is the one given, up to rounding, if S > 1.
        """
        affine = np.asarray(affine, dtype=np.float64)
        if affine.shape != (4, 4):
            raise ValueError(f"an affine has shape (4, 4), got {affine.shape}")
        x, y, z = affine[:3, 0], affine[:3, 1], affine[:3, 2]
        size_x, size_y = float(np.linalg.norm(x)), float(np.linalg.norm(y))
        if not (size_x > 0 and size_y > 0):
            raise ValueError("affine has a zero column: spacing must be positive")
        return cls(affine[:3, 3] + np.arange(n_slices)[:, None] * z, x / size_x, y / size_y, (size_y, size_x))

    @classmethod
    def from_ras_affine(cls, affine: ArrayLike, n_slices: int) -> SliceGeometry:
        """As :meth:`from_affine`, for an affine to RAS mm (NIfTI, MONAI)."""
        return cls.from_affine(LPS_TO_RAS @ np.asarray(affine, dtype=np.float64), n_slices)

    @classmethod
    def from_itk(cls, origin: ArrayLike, spacing: ArrayLike, direction: ArrayLike, n_slices: int) -> SliceGeometry:
        """As :meth:`from_affine`, from ITK's description.

        Args:
            origin: (3,) centre of the first voxel, LPS mm.
            spacing: (3,) mm along x, y, z.
            direction: (3, 3) whose columns are the unit vectors of x, y, z.
            n_slices: number of slices, S.
        """
        return cls.from_affine(itk_affine(origin, spacing, direction), n_slices)

    @property
    def n_slices(self) -> int:
        """S."""
        return len(self.origins)

    @cached_property
    def normal(self) -> FloatArray:
        """(3,) unit vector row x column, LPS."""
        normal = np.cross(self.row_cosines, self.column_cosines)
        return normal / np.linalg.norm(normal)

    @cached_property
    def positions(self) -> FloatArray:
        """(S,) distance of each slice plane from the LPS origin along the normal, mm."""
        return self.origins @ self.normal

    @cached_property
    def steps(self) -> FloatArray:
        """(S - 1,) distance from each slice to the next along the normal, mm; negative if the stack runs backwards."""
        return np.diff(self.positions)

    @cached_property
    def slice_spacing(self) -> float | None:
        """Median distance of neighbours, mm; None for one slice."""
        return float(np.median(np.abs(self.steps))) if len(self.steps) else None

    @property
    def gaps(self) -> tuple[tuple[int, float], ...]:
        """(index of the slice before the gap, its size in mm) for each step above ``GAP_RATIO`` times the median."""
        limit = GAP_RATIO * (self.slice_spacing or np.inf)
        return tuple((int(i), float(abs(self.steps[i]))) for i in np.flatnonzero(np.abs(self.steps) > limit))

    @property
    def max_deviation(self) -> float:
        """Largest difference between a step and the median step, mm; 0 for one slice."""
        return float(np.abs(np.abs(self.steps) - (self.slice_spacing or 0.0)).max()) if len(self.steps) else 0.0

    @property
    def tilt_deg(self) -> float:
        """Angle between the normal and the line from the first to the last origin, degrees in [0, 90]; 0 if none."""
        line = self.origins[-1] - self.origins[0]
        length = float(np.linalg.norm(line))
        if length < DUPLICATE_TOLERANCE_MM:
            return 0.0
        # atan2 keeps its precision near 0, where acos loses half of the digits.
        across = float(np.linalg.norm(np.cross(line, self.normal)))
        return float(np.degrees(np.arctan2(across, abs(float(line @ self.normal)))))

    @property
    def is_regular(self) -> bool:
        """Whether one affine describes the stack: at least 2 slices, equal steps, no tilt."""
        spacing = self.slice_spacing
        if spacing is None or spacing < DUPLICATE_TOLERANCE_MM:
            return False
        return self.max_deviation <= REGULAR_TOLERANCE * spacing and self.tilt_deg <= TILT_TOLERANCE_DEG

    @cached_property
    def plane(self) -> Plane:
        """Anatomical plane to which the slices are parallel within ``PLANE_TOLERANCE_DEG``, else "oblique"."""
        name = nearest_plane(self.normal)
        cosine = abs(float(self.normal @ np.array(PLANE_NORMALS[name])))
        return name if cosine >= np.cos(np.radians(PLANE_TOLERANCE_DEG)) else "oblique"

    @property
    def affine(self) -> FloatArray:
        """(4, 4) from (column x, row y, slice z, 1) to LPS mm.

        The slice step is the mean one, so the map is exact for the first and the last slice, and for all of a regular
        stack, tilted ones included. Where there is no step (one slice, or all at one place) it is the normal, 1 mm.
        """
        line = self.origins[-1] - self.origins[0]
        step = self.normal if np.linalg.norm(line) < DUPLICATE_TOLERANCE_MM else line / (self.n_slices - 1)
        affine = np.eye(4)
        affine[:3, 0] = self.row_cosines * self.spacing[1]
        affine[:3, 1] = self.column_cosines * self.spacing[0]
        affine[:3, 2] = step
        affine[:3, 3] = self.origins[0]
        return affine

    @property
    def affine_ras(self) -> FloatArray:
        """(4, 4) from (column x, row y, slice z, 1) to RAS mm."""
        return LPS_TO_RAS @ self.affine

    def select(self, indices: ArrayLike) -> SliceGeometry:
        """Geometry of some of the slices, in the order of ``indices``."""
        chosen = self.origins[np.asarray(indices, dtype=np.int64)]
        return SliceGeometry(chosen, self.row_cosines, self.column_cosines, self.spacing)


def nearest_plane(normal: ArrayLike) -> Plane:
    """Anatomical plane whose normal is nearest to ``normal`` (3,) in LPS; on a tie axial, then coronal, wins."""
    closeness = {name: abs(float(np.dot(axis, normal))) for name, axis in PLANE_NORMALS.items()}
    order: tuple[Plane, ...] = ("axial", "coronal", "sagittal")
    return max(order, key=lambda name: closeness[name])


def itk_affine(origin: ArrayLike, spacing: ArrayLike, direction: ArrayLike) -> FloatArray:
    """(4, 4) from voxel index (x, y, z, 1) to LPS mm, of ITK's origin (3,), spacing (3,) and direction (3, 3)."""
    affine = np.eye(4)
    affine[:3, :3] = np.asarray(direction, dtype=np.float64) @ np.diag(np.asarray(spacing, dtype=np.float64))
    affine[:3, 3] = np.asarray(origin, dtype=np.float64)
    return affine
