"""Cutting a voxel array into slices without resampling, shown as radiologists and DICOM show them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lvm_med_monai.slices.geometry import FloatArray, SliceGeometry, nearest_plane

DISPLAY_DIRECTIONS: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "axial": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)),
    "coronal": ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0)),
    "sagittal": ((0.0, 1.0, 0.0), (0.0, 0.0, -1.0)),
}
"""LPS directions to which columns and rows run on a screen: patient's left at the right side, head or front on top."""
ISOTROPIC_TOLERANCE = 0.01
"""Voxel sizes that differ by less than this share are equal."""


def acquisition_axis(spacing: ArrayLike) -> int:
    """Storage axis along which a volume was probably acquired.

    Args:
        spacing: (3,) voxel sizes of the storage axes, mm.

    Returns:
        The axis of the largest voxel size; 2 when the two largest are equal within ``ISOTROPIC_TOLERANCE``.
    """
    sizes = np.asarray(spacing, dtype=np.float64)
    order = np.argsort(sizes)
    return int(order[2]) if sizes[order[2]] > sizes[order[1]] * (1 + ISOTROPIC_TOLERANCE) else 2


def voxel_sizes(affine: ArrayLike) -> FloatArray:
    """(3,) mm of the storage axes of a (4, 4) affine."""
    return np.linalg.norm(np.asarray(affine, dtype=np.float64)[:3, :3], axis=0)


def is_usable(affine: ArrayLike) -> bool:
    """Whether an affine gives coordinates: finite, and three perpendicular axes of positive length."""
    matrix = np.asarray(affine, dtype=np.float64)[:3, :3]
    if not np.isfinite(np.asarray(affine, dtype=np.float64)).all():
        return False
    sizes = voxel_sizes(affine)
    if sizes.min() <= 0:
        return False
    axes = matrix / sizes
    return bool(np.abs(axes.T @ axes - np.eye(3)).max() < ISOTROPIC_TOLERANCE)


def slicing(affine: ArrayLike, shape: tuple[int, ...], axis: int) -> tuple[tuple[int, int, int], FloatArray]:
    """How to permute and flip the storage axes so that they become slice, row, column.

    Args:
        affine: (4, 4) from storage index (i, j, k) to LPS mm, with perpendicular axes.
        shape: (I, J, K).
        axis: storage axis to cut along.

    Returns:
        Signed storage axes of slice z, row y and column x, counted from 1, negative where flipped; and the (4, 4)
        affine from (x, y, z) after that to LPS mm. Slices ascend along row x column. The pair of in-plane axes that
        fits `DISPLAY_DIRECTIONS` best is taken; on a tie the lower storage axis is x.
    """
    matrix = np.asarray(affine, dtype=np.float64)
    units = matrix[:3, :3] / voxel_sizes(matrix)
    to_right, to_bottom = (np.array(v) for v in DISPLAY_DIRECTIONS[nearest_plane(units[:, axis])])
    first, second = (a for a in range(3) if a != axis)
    straight = abs(units[:, first] @ to_right) + abs(units[:, second] @ to_bottom)
    crossed = abs(units[:, second] @ to_right) + abs(units[:, first] @ to_bottom)
    x, y = (first, second) if straight >= crossed else (second, first)
    flip_x, flip_y = bool(units[:, x] @ to_right < 0), bool(units[:, y] @ to_bottom < 0)
    normal = np.cross(units[:, x] * (-1 if flip_x else 1), units[:, y] * (-1 if flip_y else 1))
    flip_z = bool(units[:, axis] @ normal < 0)
    change = np.zeros((4, 4))
    change[3, 3] = 1
    for column, (storage, flip) in enumerate(((x, flip_x), (y, flip_y), (axis, flip_z))):
        change[storage, column] = -1 if flip else 1
        change[storage, 3] = shape[storage] - 1 if flip else 0
    signed = tuple(-(a + 1) if flip else a + 1 for a, flip in ((axis, flip_z), (y, flip_y), (x, flip_x)))
    return (signed[0], signed[1], signed[2]), matrix @ change


def reorder(volume: NDArray[Any], signed_axes: tuple[int, int, int]) -> NDArray[Any]:
    """View of a volume (I, J, K) or (I, J, K, C) as (S, H, W) or (S, H, W, C); ``signed_axes`` from `slicing`."""
    axes = [abs(a) - 1 for a in signed_axes]
    view = np.transpose(volume, (*axes, *range(3, volume.ndim)))
    return view[tuple(slice(None, None, -1 if a < 0 else 1) for a in signed_axes)]


def cut(volume: NDArray[Any], affine: ArrayLike, axis: int) -> tuple[NDArray[Any], SliceGeometry]:
    """Slices of a volume and where they lie.

    Args:
        volume: (I, J, K) or (I, J, K, C).
        affine: (4, 4) from (i, j, k) to LPS mm.
        axis: storage axis to cut along.

    Returns:
        View of shape (S, H, W) or (S, H, W, C), and its geometry.
    """
    signed_axes, xyz_affine = slicing(affine, volume.shape[:3], axis)
    frames = reorder(volume, signed_axes)
    return frames, SliceGeometry.from_affine(xyz_affine, frames.shape[0])
