"""Intensities of pictures, and as the published protocol of LVM-Med's segmentation prepares them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from lvm_med_monai.transforms.file_names import name_of

_TOP = 255
_ROUNDING = 0.01
"""By how much resizing may leave the range."""


class PictureIntensityd(MapTransform):
    """Values 0 to 255 of a picture as 0 to 1.

    Others are refused: clipped at 255, a picture of 12 or 16 bits would be white, and nobody would be told.

    Args:
        keys: pictures or volumes of any shape.
        allow_missing_keys: whether an item may lack a key.

    Raises:
        ValueError: values below 0 or above 255.

    Example:
        >>> PictureIntensityd("image")({"image": torch.tensor([[[0.0, 51.0, 255.0]]])})["image"].tolist()
        [[[0.0, 0.20000000298023224, 1.0]]]
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Apply to each key."""
        item = dict(data)
        for key in self.key_iterator(item):
            image = item[key].float()
            low, high = float(image.min()), float(image.max())
            if not (low >= -_ROUNDING and high <= _TOP + _ROUNDING):  # also where they are not numbers
                raise ValueError(
                    f"{name_of(item[key])} holds values of {low:g} to {high:g}, expected a picture of 0 to 255: save "
                    "it with 8 bits, or set intensity to a transform that scales such values, like "
                    "ScaleIntensityRangePercentilesd"
                )
            item[key] = (image / _TOP).clamp(0, 1)
        return item


class MinMaxSlicesd(MapTransform):
    """Each slice stretched to 0..255 on its own and cut to whole numbers; all its channels together.

    A slice of one value becomes 0.

    Args:
        keys: pictures (C, W, H) or stacks (C, W, H, D).
        allow_missing_keys: whether an item may lack a key.

    Example:
        >>> MinMaxSlicesd("image")({"image": torch.tensor([[[1.0, 2.0, 3.0]]])})["image"].tolist()
        [[[0.0, 127.0, 255.0]]]
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Apply to each key."""
        item = dict(data)
        for key in self.key_iterator(item):
            image = item[key].float()
            axes = (0, 1, 2)
            low, high = image.amin(axes, keepdim=True), image.amax(axes, keepdim=True)
            item[key] = torch.floor((image - low) / (high - low).clamp(min=1e-12) * _TOP)
        return item


class DeviationsToBytesd(MapTransform):
    """Volumes clipped at percentiles, less their mean, in units of ``deviations`` standard deviations, as 0..255.

    ``floor(255 * clip((x - mean) / std / deviations, 0, 1))`` after clipping: all that is below the mean becomes 0.

    Args:
        keys: of the volumes.
        lower: percentile below which values are clipped.
        upper: percentile above which they are.
        deviations: standard deviations that become 255.
        allow_missing_keys: whether an item may lack a key.
    """

    def __init__(
        self,
        keys: KeysCollection,
        lower: float = 0.5,
        upper: float = 99.5,
        deviations: float = 10.0,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.percentiles = (lower, upper)
        self.deviations = deviations

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Apply to each key."""
        item = dict(data)
        for key in self.key_iterator(item):
            image = item[key].float()
            low, high = np.percentile(image.cpu().numpy(), self.percentiles)
            image = image.clamp(float(low), float(high))
            deviation = image.std(unbiased=False).clamp(min=1e-12)
            item[key] = torch.floor(((image - image.mean()) / deviation / self.deviations).clamp(0, 1) * _TOP)
        return item
