"""Pictures and their boxes changed together; rows first, (C, H, W), so that x runs along the last axis.

MONAI's own box transforms, such as ``RandFlipBoxd``, read x1, y1, x2, y2 along the axes of the array: right for the
(C, W, H) that its readers give, and wrong for rows first, which networks of pictures take. Those here are torchvision's
inside.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.transforms import MapTransform, RandomizableTransform
from torch.nn.functional import interpolate, pad
from torchvision.transforms.v2 import functional as vision
from torchvision.tv_tensors import BoundingBoxFormat

_SMALLEST = 1.0
"""Pixels: a box that a crop leaves less of, in either direction, is dropped."""


class RandMirrorBoxd(RandomizableTransform):
    """Swap left and right.

    Args:
        key: of the image, (C, H, W).
        box_key: of its boxes, (N, 4): x1, y1, x2, y2.
        prob: share of the images that are mirrored.
    """

    def __init__(self, key: str = "image", box_key: str = "box", prob: float = 0.5) -> None:
        super().__init__(prob)
        self.key, self.box_key = key, box_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Mirror, or leave as it is."""
        item = dict(data)
        self.randomize(None)
        if self._do_transform:
            size = tuple(item[self.key].shape[1:])
            item[self.key] = vision.horizontal_flip_image(item[self.key])
            item[self.box_key] = vision.horizontal_flip_bounding_boxes(item[self.box_key], BoundingBoxFormat.XYXY, size)
        return item


class RandSafeCropBoxd(RandomizableTransform):
    """Cut a random rectangle that holds nearly all of every box.

    Each edge of the cut is drawn evenly between the edge of the image and the union of the boxes, each of which may
    lose ``erosion`` of its width or height at each side. Without boxes, the cut keeps between ``1 - erosion`` and all
    of both sides, at a random place. Boxes are clipped to the cut; the image is not resized.

    Args:
        key: of the image, (C, H, W).
        box_key: of its boxes, (N, 4): x1, y1, x2, y2.
        label_key: of their classes, (N,).
        prob: share of the images that are cut.
        erosion: share of a box's side that may be lost at each end, in [0, 0.5).

    Raises:
        ValueError: ``erosion`` is outside of [0, 0.5).

    References:
        Buslaev et al., Albumentations, Information 2020, arXiv:1809.06839, whose ``RandomSizedBBoxSafeCrop`` has the
        same purpose.
    """

    def __init__(
        self,
        key: str = "image",
        box_key: str = "box",
        label_key: str = "label",
        prob: float = 0.5,
        erosion: float = 0.2,
    ) -> None:
        if not 0 <= erosion < 0.5:
            raise ValueError(f"a safe crop may take 0 to 0.5 of a box at each side, got {erosion}")
        super().__init__(prob)
        self.key, self.box_key, self.label_key = key, box_key, label_key
        self.erosion = erosion

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Cut, or leave as it is."""
        item = dict(data)
        self.randomize(None)
        if not self._do_transform:
            return item
        height, width = item[self.key].shape[1:]
        left, right = self._cut(width, item[self.box_key][:, 0::2])
        top, bottom = self._cut(height, item[self.box_key][:, 1::2])
        item[self.key] = item[self.key][:, top:bottom, left:right]
        moved = item[self.box_key] - torch.tensor([left, top, left, top])
        clipped = torch.minimum(moved.clamp(min=0), torch.tensor([right - left, bottom - top] * 2))
        kept = ((clipped[:, 2:] - clipped[:, :2]) >= _SMALLEST).all(1)
        item[self.box_key], item[self.label_key] = clipped[kept], item[self.label_key][kept]
        return item

    def _cut(self, size: int, sides: torch.Tensor) -> tuple[int, int]:
        """First and last pixel, exclusive, along one axis."""
        if len(sides) == 0:
            length = size * self.R.uniform(1 - self.erosion, 1)
            start = self.R.uniform(0, size - length)
            return int(start), max(int(start) + 1, round(start + length))
        loss = self.erosion * (sides[:, 1] - sides[:, 0])
        first = max(0.0, float((sides[:, 0] + loss).min()))
        last = min(float(size), float((sides[:, 1] - loss).max()))
        start = int(self.R.uniform(0, first))
        return start, min(size, max(start + 1, round(self.R.uniform(last, size))))


class FitBoxesd(MapTransform):
    """Resize images to one size for a batch, boxes with them.

    With ``keep_aspect`` the longer side becomes ``size`` and black is added on the right and below; otherwise both
    sides become ``size``.

    Args:
        size: pixels of both sides of the result.
        keep_aspect: whether shapes stay as they are.
        key: of the image, (C, H, W).
        box_key: of its boxes, (N, 4).
    """

    def __init__(self, size: int, keep_aspect: bool = True, key: str = "image", box_key: str = "box") -> None:
        super().__init__(key)
        self.size, self.keep_aspect, self.box_key = size, keep_aspect, box_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Resize the image, scale the boxes."""
        item = dict(data)
        for key in self.key_iterator(item):
            image = item[key]
            old = image.shape[1:]
            longest = max(old)
            new = [max(1, round(side * self.size / longest)) if self.keep_aspect else self.size for side in old]
            if new != list(old):
                image = interpolate(image[None], size=new, mode="bilinear", antialias=True, align_corners=False)[0]
            item[key] = pad(image, [0, self.size - new[1], 0, self.size - new[0]])
            item[self.box_key] = item[self.box_key] * torch.tensor([new[1] / old[1], new[0] / old[0]] * 2)
        return item


class BoxTargetd(MapTransform):
    """Boxes and their classes as one table: ``target``, x1, y1, x2, y2 and label, shape (N, 5).

    Args:
        box_key: of the boxes, (N, 4).
        label_key: of their classes, (N,); both are taken away.
        target_key: of the table.
    """

    def __init__(self, box_key: str = "box", label_key: str = "label", target_key: str = "target") -> None:
        super().__init__(box_key)
        self.label_key, self.target_key = label_key, target_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Join the boxes of an item with their classes."""
        item = dict(data)
        for key in self.key_iterator(item):
            boxes, labels = item.pop(key), item.pop(self.label_key)
            item[self.target_key] = torch.cat([boxes, labels[:, None].to(boxes.dtype)], dim=1)
        return item
