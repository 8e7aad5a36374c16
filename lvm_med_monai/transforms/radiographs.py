"""How chest X-rays are brought to one size for RAD-DINO."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from scipy import ndimage

_CUBIC = 3


class ShorterSided(MapTransform):
    """Resize images so that their shorter side has a given length, by cubic B-splines.

    The other side keeps the aspect, rounded to a pixel. Before a reduction by a factor f the image is smoothed by a
    Gaussian of (f - 1) / 2 pixels, so that fine texture does not turn into coarse. Values stay within the range of the
    image, which splines alone would leave.

    Args:
        keys: entries of shape (C, H, W).
        size: length of the shorter side in pixels.
        smooth: whether to smooth before a reduction. RAD-DINO's description names splines alone.
        allow_missing_keys: whether a key may be absent.

    Raises:
        ValueError: an image is not of shape (C, H, W).

    References:
        RAD-DINO, arXiv 2401.10815.
    """

    def __init__(self, keys: KeysCollection, size: int, smooth: bool = True, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.size = size
        self.smooth = smooth

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Resize the entries."""
        result = dict(data)
        for key in self.key_iterator(result):
            result[key] = self._resize(torch.as_tensor(result[key]))
        return result

    def _resize(self, image: torch.Tensor) -> torch.Tensor:
        if image.ndim != 3:
            raise ValueError(f"expected an image of shape (C, H, W), got {tuple(image.shape)}")
        factor = self.size / min(image.shape[1:])
        shape = [max(self.size, round(side * factor)) for side in image.shape[1:]]
        channels = []
        for channel in image.numpy():
            smoothed = ndimage.gaussian_filter(channel, (1 / factor - 1) / 2) if self.smooth and factor < 1 else channel
            zoom = [new / old for new, old in zip(shape, channel.shape, strict=True)]
            resized = ndimage.zoom(smoothed, zoom, order=_CUBIC, mode="nearest", grid_mode=True)
            channels.append(resized.clip(channel.min(), channel.max()))
        return torch.from_numpy(np.stack(channels))
