"""Slices with their rows first, as networks that were trained on photographs see pictures."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import InvertibleTransform, MapTransform


class RowsFirstd(MapTransform, InvertibleTransform):
    """A stack (C, W, H, D) as (C, H, W, D), its affine with it; nothing is flipped.

    Read by this package's readers, slices then look as a viewer displays them, upright, which MONAI's (W, H) order
    lays on its side.

    Args:
        keys: stacks with an affine.
        allow_missing_keys: whether an item may lack a key.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Apply to each key."""
        item = dict(data)
        for key in self.key_iterator(item):
            item[key] = _swapped(item[key])
            self.push_transform(item, key)
        return item

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Columns first again."""
        item = dict(data)
        for key in self.key_iterator(item):
            self.pop_transform(item, key)
            item[key] = _swapped(item[key])
        return item


class CoarseScoresd(MapTransform):
    """Scores and masks of rows-first stacks on a coarser grid than their image, columns first again.

    They get an affine of their own, for measuring and saving them there.

    Args:
        keys: of scores and masks (C, h, w, D).
        image_key: stack (C, H, W, D) of the same slices, H and W being multiples of h and w.
        allow_missing_keys: whether an item may lack a key.
    """

    def __init__(self, keys: KeysCollection, image_key: str = "image", allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Apply to each key."""
        item = dict(data)
        image = item[self.image_key]
        for key in self.key_iterator(item):
            steps = [image.shape[axis] / item[key].shape[axis] for axis in (1, 2)]
            affine = image.affine @ torch.diag(torch.tensor([*steps, 1.0, 1.0], dtype=image.affine.dtype))
            values = item[key].as_tensor() if isinstance(item[key], MetaTensor) else item[key]
            item[key] = _swapped(MetaTensor(values, meta={**image.meta, "affine": affine}))
        return item


def _swapped(image: MetaTensor) -> MetaTensor:
    """The first two axes of space exchanged, in the affine too."""
    turned = image.transpose(1, 2).contiguous()
    turned.affine = image.affine[:, [1, 0, 2, 3]]
    return turned
