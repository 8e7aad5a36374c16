"""A user's clicks and boxes, in voxels of the stored image, as the channel of prompts of a stack of slices.

The keys are those that MONAI Label's clients send to a bundle whose name holds ``deepgrow``.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.transforms import MapTransform
from numpy.typing import NDArray

from lvm_med_monai.transforms.file_names import name_of
from lvm_med_monai.transforms.prompt_table import Box, prompt_plane, prompt_rows

FOREGROUND, BACKGROUND, BOX, ROI, SLICE = "foreground", "background", "box", "roi", "slice"
_NIFTI = (".nii", ".nii.gz")
_ITK = (".nrrd", ".nhdr", ".mha", ".mhd")


class AddPromptsd(MapTransform):
    """Adds the channel of prompts to a stack (3, H, W, D), from what else the item holds.

    * ``foreground``, ``background``: clicks ``[x, y, z]``, or ``[x, y]`` on a picture.
    * ``box``: ``[x0, y0, x1, y1]``, or ``[x0, y0, z0, x1, y1, z1]`` for every slice from z0 to z1.
    * ``roi``: the same as ``[x0, x1, y0, y1]`` or ``[x0, x1, y0, y1, z0, z1]``, 3D Slicer's order; without ``box``.
    * ``slice``: z of clicks and boxes that have none; with it, prompts in other slices do not count.

    Each may be absent, None or empty. Coordinates are indices of voxels as the file stores them (ITK's and nibabel's),
    the first voxel of an axis being 0; of DICOM, columns, rows, slices as `SliceReader` has them. They are brought
    to the stack as it is now by the affines of both. A slice without a box and without a click inside is left without
    prompts, and nothing is segmented in it.

    Args:
        keys: of the stacks, each a `MetaTensor` with its affine.

    Raises:
        ValueError: coordinates are malformed, lie outside the image, name no slice of a volume, or are too many.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Apply to each key."""
        item = dict(data)
        for key in self.key_iterator(item):
            image = item[key]
            prompts = _Prompts(image, item)
            height, width, depth = image.shape[1:]
            planes = [prompt_plane(prompts.rows_of(index), height, width) for index in range(depth)]
            item[key] = torch.cat([image, torch.stack(planes, -1).to(image.as_tensor())[None]])
        return item


class _Prompts:
    """Prompts of one item in the voxels of its stack."""

    def __init__(self, image: Any, item: Mapping[Hashable, Any]) -> None:
        self.name = name_of(image, "the image")
        self.size = np.array(image.shape[1:])
        self.image = image
        self.slice = item.get(SLICE)
        self.clicks = {key: self._clicks(key, item.get(key)) for key in (FOREGROUND, BACKGROUND)}
        self.corners = self._box(item)

    def rows_of(self, index: int) -> list[tuple[float, float, float]]:
        """Rows of the table of one slice."""
        clicks = {key: [(x, y) for x, y, z in places if z == index] for key, places in self.clicks.items()}
        return prompt_rows(clicks[FOREGROUND], clicks[BACKGROUND], self._box_in(index))

    def _box_in(self, index: int) -> Box | None:
        if self.corners is None:
            return None
        (left, top, first), (right, bottom, last) = self.corners
        return (left, top, right, bottom) if first <= index <= last else None

    def _clicks(self, key: str, given: Any) -> list[tuple[float, float, int]]:
        points = np.asarray([] if given is None else given, dtype=np.float64)
        if not points.size:
            return []
        if points.ndim != 2 or points.shape[1] not in (2, 3) or not np.isfinite(points).all():
            raise ValueError(f"{key} of {self.name} must be a list of [x, y, z] or [x, y], got {given}")
        stored = np.array([self._with_slice(point, key) for point in points])
        if self.slice is not None:
            stored = stored[stored[:, 2].round() == int(self.slice)]
        return [(float(x), float(y), int(z)) for x, y, z in self._placed(stored, key)]

    def _box(self, item: Mapping[Hashable, Any]) -> NDArray[np.float64] | None:
        key = BOX if item.get(BOX) is not None and len(item[BOX]) else ROI
        given = item.get(key)
        if given is None or not len(given):
            return None
        values = np.asarray(given, dtype=np.float64)
        if values.shape not in ((4,), (6,)) or not np.isfinite(values).all():
            raise ValueError(f"{key} of {self.name} must be four or six numbers, got {given}")
        corners = values.reshape(2, -1) if key == BOX else values.reshape(-1, 2).T
        stored = np.array([self._with_slice(corner, key) for corner in corners])
        stored = np.array([stored.min(0), stored.max(0)])
        if self.slice is not None:
            if not stored[0, 2].round() <= int(self.slice) <= stored[1, 2].round():
                return None
            stored[:, 2] = int(self.slice)
        placed = self._placed(stored, key)
        return np.array([placed.min(0), placed.max(0)])

    def _with_slice(self, point: NDArray[np.float64], key: str) -> NDArray[np.float64]:
        """A place with its slice: its own, the request's, or the only one."""
        if len(point) == 3:
            return point
        if self.slice is None and self.size[2] > 1:
            raise ValueError(f"{key} of {self.name} names no slice, but it has {self.size[2]}: give [x, y, z] or slice")
        return np.array([*point, 0 if self.slice is None else int(self.slice)])

    def _placed(self, stored: NDArray[np.float64], key: str) -> NDArray[np.float64]:
        """Stored voxels (N, 3) as x, y and slice of the stack, whose axes are rows, columns and slices."""
        if not len(stored):
            return stored
        to_stack = np.linalg.inv(_affine(self.image)) @ _stored_affine(self.image)
        now = np.round(stored @ to_stack[:3, :3].T + to_stack[:3, 3], 3)
        outside = (now < -0.5) | (now > self.size - 0.5)
        if outside.any():
            bad = stored[outside.any(1)][0].tolist()
            raise ValueError(f"{key} of {self.name} lies outside the image at {bad}: coordinates are voxel indices")
        return np.column_stack([now[:, 1], now[:, 0], now[:, 2].round()])


def _affine(image: Any) -> NDArray[np.float64]:
    return np.asarray(image.affine.cpu(), dtype=np.float64)


def _stored_affine(image: Any) -> NDArray[np.float64]:
    """Affine of the voxels as the file stores them; as the reader gave them where a file stores none."""
    path = Path(str(image.meta.get("filename_or_obj", "")))
    if path.name.lower().endswith(_NIFTI) and path.is_file():
        import nibabel

        return np.asarray(nibabel.load(path).affine, dtype=np.float64)
    if path.suffix.lower() in _ITK and path.is_file():
        return _itk_affine(path)
    if "original_affine" not in image.meta:
        raise ValueError("prompts need the affine of the image as it was read: load it with LoadImaged")
    return np.asarray(image.meta["original_affine"], dtype=np.float64)


def _itk_affine(path: Path) -> NDArray[np.float64]:
    """Affine to RAS of a file that ITK reads, from its header."""
    import itk

    header = itk.ImageIOFactory.CreateImageIO(str(path), itk.CommonEnums.IOFileMode_ReadMode)
    header.SetFileName(str(path))
    header.ReadImageInformation()
    axes: Sequence[int] = range(min(3, header.GetNumberOfDimensions()))
    affine = np.eye(4)
    for axis in axes:
        affine[: len(axes), axis] = np.array(header.GetDirection(axis))[: len(axes)] * header.GetSpacing(axis)
        affine[axis, 3] = header.GetOrigin(axis)
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
