"""Slices of volumes on a common grid."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.config import KeysCollection
from monai.transforms import InvertibleTransform, MapTransform, Orientation, Spacing
from monai.utils import ensure_tuple_rep


class PixelSpacingd(MapTransform, InvertibleTransform):
    """Volumes turned to one orientation, with square pixels of one size in each slice; slices stay apart as they are.

    MONAI's ``Orientation`` and ``Spacing`` in one step. Their dictionary versions read every key that begins like the
    image's, and fail on those that MONAI Label adds.

    Args:
        keys: volumes (C, W, H, D) with an affine.
        pixel_mm: distance of pixels in a slice, mm.
        axcodes: directions to which the axes run; slices are along the last.
        mode: interpolation of each key.
        allow_missing_keys: whether an item may lack a key.

    Raises:
        ValueError: ``pixel_mm`` is not positive.
    """

    def __init__(
        self,
        keys: KeysCollection,
        pixel_mm: float,
        axcodes: str = "RAS",
        mode: str | tuple[str, ...] = "bilinear",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if pixel_mm <= 0:
            raise ValueError(f"pixel_mm is a distance in mm, got {pixel_mm}")
        self.orientation = Orientation(axcodes=axcodes, labels=None)
        self.spacing = Spacing(pixdim=(pixel_mm, pixel_mm, -1))
        self.mode = ensure_tuple_rep(mode, len(self.keys))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Apply to each key."""
        item = dict(data)
        for key, mode in self.key_iterator(item, self.mode):
            item[key] = self.spacing(self.orientation(item[key]), mode=mode)
        return item

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Back to the grid that each volume had."""
        item = dict(data)
        for key in self.key_iterator(item):
            item[key] = self.orientation.inverse(self.spacing.inverse(item[key]))
        return item
