"""Whether an image and its mask lie on one grid, judged by their headers."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from nibabel.orientations import io_orientation

from lvm_med_monai.data.samples import stacks_at
from lvm_med_monai.slices import Reject, Stack

_TOLERANCE_MM = 0.1
"""Two corners nearer than this are the same corner: headers round."""


@dataclass(frozen=True)
class Grid:
    """Extent of a volume in the patient, however its axes are stored.

    Attributes:
        voxels: number of voxels along the axes nearest to RAS x, y and z.
        lower: smallest RAS coordinates of voxel centres, mm.
        upper: largest RAS coordinates of voxel centres, mm.
    """

    voxels: tuple[int, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]

    def fits(self, other: Grid) -> bool:
        """Whether two grids have the same voxels and corners."""
        corners = np.allclose([self.lower, self.upper], [other.lower, other.upper], rtol=0, atol=_TOLERANCE_MM)
        return self.voxels == other.voxels and corners

    def __str__(self) -> str:
        size = " x ".join(map(str, self.voxels))
        return f"{size} voxels from {_rounded(self.lower)} to {_rounded(self.upper)} RAS mm"


def grid_of(path: str | Path) -> Grid:
    """Grid of the one volume in a file or folder of DICOM files, or of an extracted slice; pixels are not decoded.

    Raises:
        ValueError: the path holds no volume, or several.
    """
    found = stacks_at(path)
    stacks = [item for item in found if isinstance(item, Stack)]
    if len(stacks) != 1:
        rejects = sorted(f"{item.path.name}: {item.detail}" for item in found if isinstance(item, Reject))
        refused = f"; {len(rejects)} files were refused, such as {rejects[0]}" if rejects else ""
        raise ValueError(
            f"{Path(path).name} holds {len(stacks)} volumes, expected one: give each series its own folder{refused}"
        )
    stack = stacks[0]
    affine, shape = stack.geometry.affine_ras, (stack.width, stack.height, stack.n_slices)
    axes = io_orientation(affine)[:, 0].astype(int)
    voxels = tuple(shape[int(np.flatnonzero(axes == axis)[0])] for axis in range(3))
    corners = np.array([affine @ [*index, 1] for index in product(*((0, size - 1) for size in shape))])[:, :3]
    return Grid(voxels, tuple(corners.min(0)), tuple(corners.max(0)))


def _rounded(corner: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{value:.1f}" for value in corner) + ")"
