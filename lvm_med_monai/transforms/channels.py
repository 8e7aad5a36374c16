"""Grey and colour images as the three channels that pretrained backbones take."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from lvm_med_monai.transforms.file_names import name_of

ORDERS = ("rgb", "bgr")


class ThreeChannelsd(MapTransform):
    """Three channels: one is repeated, three stay.

    Three equal channels before a convolution are one channel before the sum of its weights over the channels, which is
    how LVM-Med's repository adapts its first layer to grey volumes.

    Args:
        keys: of the images, channels first, with any number of further axes.
        order: "rgb", or "bgr" to turn the order of three channels around, as networks trained on OpenCV's images take
            them.
        allow_missing_keys: whether an item may lack a key.

    Raises:
        ValueError: ``order`` is unknown, or an image has another number of channels.

    Example:
        >>> ThreeChannelsd("image")({"image": torch.zeros(1, 4, 4)})["image"].shape
        torch.Size([3, 4, 4])
    """

    def __init__(self, keys: KeysCollection, order: str = "rgb", allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        if order not in ORDERS:
            raise ValueError(f"order is one of {', '.join(ORDERS)}, got {order!r}")
        self.order = order

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Apply to each key."""
        item = dict(data)
        for key in self.key_iterator(item):
            image = item[key]
            if image.shape[0] not in (1, 3):
                name = name_of(image, str(item.get("name", "an image")))
                raise ValueError(
                    f"{name} has {image.shape[0]} channels, expected 1 (grey) or 3 (colour): choose the channels to "
                    "use, or give each its own file"
                )
            if image.shape[0] == 1:
                # a copy, not a view: what follows may work in place, one channel after the other
                item[key] = image.repeat(3, *[1] * (image.ndim - 1))
            elif self.order == "bgr":
                item[key] = torch.flip(image, (0,))
        return item
