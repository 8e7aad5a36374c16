"""Intensities as the published protocol of LVM-Med's segmentation prepares them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

_TOP = 255


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
