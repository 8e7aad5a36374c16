"""Axial, coronal and sagittal slices of a volume that was acquired in another plane."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lvm_med_monai.slices.geometry import PLANE_NORMALS, Plane
from lvm_med_monai.slices.stack import Stack
from lvm_med_monai.slices.volumes.cutting import ISOTROPIC_TOLERANCE, cut, voxel_sizes

ACQUISITION = "acquisition"
PLANES: tuple[str, ...] = (ACQUISITION, "axial", "coronal", "sagittal")


def nearest_axis(stack: Stack, plane: Plane) -> int:
    """Axis of the stack (0 columns x, 1 rows y, 2 slices z) nearest to the normal of an anatomical plane.

    Oblique volumes are not turned: their slices are cut along their own axes. On a tie the slice axis wins.
    """
    normal = np.array(PLANE_NORMALS[plane])
    axes = (stack.geometry.row_cosines, stack.geometry.column_cosines, stack.geometry.normal)
    closeness = [abs(float(axis @ normal)) for axis in axes]
    return max((2, 1, 0), key=lambda i: round(closeness[i], 6))


def anisotropy(stack: Stack) -> float:
    """Largest over smallest voxel size; infinite for a stack that one affine does not describe."""
    spacing = stack.geometry.slice_spacing
    if not stack.geometry.is_regular or spacing is None or stack.flags & {"no_geometry", "no_spacing"}:
        return float("inf")
    sizes = (*stack.geometry.spacing, spacing)
    return max(sizes) / min(sizes)


def reformat(stack: Stack, frames: NDArray[Any], plane: Plane) -> tuple[Stack, NDArray[Any]]:
    """Slices in an anatomical plane, with square pixels.

    Args:
        stack: a regular stack; check `anisotropy` first.
        frames: (S, H, W) its pixels.
        plane: where it is the acquired plane already, stack and frames are returned as they are.

    Returns:
        The new stack, whose frames are views of the second result, (S', H', W'). Where in-plane sizes differ, the
        coarser one is interpolated linearly to the finer one: float32, flagged ``resampled``. Integer stacks stay
        integers (rounded to nearest), because their noise is far above half a unit.
    """
    axis = nearest_axis(stack, plane)
    if axis == 2:
        return stack, frames
    volume, affine = np.swapaxes(frames, 0, 2), stack.geometry.affine  # (x, y, z)
    sizes = voxel_sizes(affine)
    fine, coarse = sorted((a for a in range(3) if a != axis), key=lambda a: float(sizes[a]))
    flags = stack.flags
    if sizes[coarse] > sizes[fine] * (1 + ISOTROPIC_TOLERANCE):
        volume = _interpolate(volume, coarse, sizes[coarse] / sizes[fine])
        affine = affine.copy()
        affine[:3, coarse] *= sizes[fine] / sizes[coarse]
        flags = flags | {"resampled"}
    view, geometry = cut(volume, affine, axis)
    reformatted = replace(
        stack,
        read_frame=lambda i: view[i],
        geometry=geometry,
        height=view.shape[1],
        width=view.shape[2],
        frame_sources=(0,) * len(view),
        display_ranges=(),
        flags=flags,
    )
    return reformatted, view


def _interpolate(volume: NDArray[Any], axis: int, factor: float) -> NDArray[Any]:
    """Linear interpolation along one axis to ``factor`` times as many samples a millimetre; the ends stay in place."""
    count = volume.shape[axis]
    at = np.arange(int((count - 1) * factor + 1e-6) + 1) / factor
    below = np.minimum(at.astype(np.int64), max(count - 2, 0))
    weight = (at - below).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(volume.ndim)])
    low = np.take(volume, below, axis=axis).astype(np.float32)
    high = np.take(volume, np.minimum(below + 1, count - 1), axis=axis).astype(np.float32)
    mixed = low * (1 - weight) + high * weight
    return np.rint(mixed).astype(volume.dtype) if volume.dtype.kind in "iu" else mixed.astype(volume.dtype)
