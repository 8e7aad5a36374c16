"""Several masks of one image as one."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.transforms import MapTransform


class MergeMasksd(MapTransform):
    """Several masks of an image, as channels, become one, in which each is an object of its own.

    The foreground of mask ``i``, counted from 1, gets the value ``i``; of masks that overlap the last counts. A single
    mask stays as it is, with the values that it has.

    Args:
        keys: masks (masks, W, H[, D]), 0 being background.
        allow_missing_keys: whether an item may lack a key.

    Example:
        >>> MergeMasksd("label")({"label": torch.tensor([[[255, 0, 255]], [[0, 0, 255]]])})["label"].tolist()
        [[[1, 0, 2]]]
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Merge each key."""
        item = dict(data)
        for key in self.key_iterator(item):
            item[key] = _merged(item[key])
        return item


def _merged(masks: torch.Tensor) -> torch.Tensor:
    if len(masks) == 1:
        return masks
    merged = torch.zeros_like(masks[:1])
    for value, mask in enumerate(masks, start=1):
        merged[0][mask > 0] = value
    return merged
