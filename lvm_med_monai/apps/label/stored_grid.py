"""Masks on the voxels of the file they belong to."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
from monai.data import ITKReader
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform
from numpy.typing import NDArray

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
"""Ends of names of files without a third axis."""
TOLERANCE_MM = 0.01
"""How far two corners may lie apart that are the same."""


def stored_affine(path: Path) -> NDArray[np.float64] | None:
    """Affine from the indices of a file to RAS mm; None for a picture, which lies nowhere."""
    name = path.name.lower()
    if name.endswith(PICTURES):
        return None
    if name.endswith((".nii", ".nii.gz")):
        return np.asarray(nibabel.load(path).affine, dtype=np.float64)
    reader = ITKReader()
    _, meta = reader.get_data(reader.read(path))
    return np.asarray(meta["affine"], dtype=np.float64)


def onto_stored_grid(
    mask: NDArray[np.generic], affine: NDArray[np.floating], stored: NDArray[np.floating] | None
) -> tuple[NDArray[np.generic], NDArray[np.float64]]:
    """Turn a mask's axes so that it has the voxel order of the file.

    `lvm_med_monai.slices.SliceReader` reads slices in one order of axes, whatever the file's. Viewers that know
    affines take either; those that lay voxels on voxels, such as OHIF, need the file's own.

    Args:
        mask: (W, H, D) on the axes of ``affine``; D may be missing.
        affine: (4, 4) of the mask, to RAS mm.
        stored: (4, 4) of the file; None for a picture, of which the mask keeps two axes.

    Returns:
        The mask and its affine, which is ``stored`` where there is one.

    Raises:
        ValueError: no turn of axes brings one affine onto the other.
    """
    mask = mask[..., 0] if stored is None and mask.ndim == 3 and mask.shape[2] == 1 else mask
    if stored is None:
        return mask, np.asarray(affine, dtype=np.float64)
    mask = mask[..., None] if mask.ndim == 2 else mask
    turn = ornt_transform(io_orientation(affine), io_orientation(stored))
    turned = apply_orientation(mask, turn)
    moved = np.asarray(affine, dtype=np.float64) @ inv_ornt_aff(turn, mask.shape)
    corners = np.array([[x, y, z, 1] for x in (0, 1) for y in (0, 1) for z in (0, 1)]) * [
        *np.subtract(turned.shape, 1),
        1,
    ]
    if np.abs(corners @ (moved - stored).T).max() > TOLERANCE_MM:
        raise ValueError("the answer lies on another grid than the image: its axes do not run along the file's")
    return turned, np.asarray(stored, dtype=np.float64)


def stored_slice(
    index: int, depth: int, affine: NDArray[np.floating], stored: NDArray[np.floating] | None
) -> tuple[int, int]:
    """Where a slice lies in the file.

    Args:
        index: place of the slice along the last axis of ``affine``.
        depth: number of slices.
        affine: (4, 4) of the slices as they were read, to RAS mm.
        stored: (4, 4) of the file; None for a picture.

    Returns:
        The file's axis that runs across the slices, and the slice's index along it.
    """
    if stored is None:
        return 2, index
    axis, direction = ornt_transform(io_orientation(affine), io_orientation(stored))[2]
    return int(axis), index if direction > 0 else depth - 1 - index
