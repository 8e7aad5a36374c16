"""Intensities of any slice as [0, 1], by the windows with which slices are extracted."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from lvm_med_monai.slices import CT_WINDOWS, Window, apply_window
from lvm_med_monai.slices.histogram import Histogram
from lvm_med_monai.slices.windows import window_of_values

_EIGHT_BIT = Window(0.0, 255.0)


class SliceWindowd(MapTransform):
    """Window an image of `SliceReader`: CT by a window in HU, 8-bit pictures by their range, others by percentiles.

    The percentiles are those of the whole series, 0.5 and 99.5 of its foreground, or 0.1 and 99.9 of all values where
    the image is made for display, as `default_window` chooses them. An image without `SliceReader`'s metadata is taken
    for one without a common scale.

    Args:
        keys: of the images (C, ...), one channel or three.
        ct_window: name of the window for CT in HU, out of `CT_WINDOWS`.

    Raises:
        ValueError: there is no such window.
    """

    def __init__(self, keys: KeysCollection, ct_window: str = "soft") -> None:
        super().__init__(keys)
        if ct_window not in CT_WINDOWS:
            raise ValueError(f"there is no window {ct_window}; choose {', '.join(CT_WINDOWS)}")
        self.ct_window = CT_WINDOWS[ct_window]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Apply to each key."""
        item = dict(data)
        for key in self.key_iterator(item):
            image = item[key]
            values = torch.as_tensor(image).numpy()
            scaled = torch.from_numpy(apply_window(values, self._window(image, values)))
            item[key] = MetaTensor(scaled, meta=image.meta) if isinstance(image, MetaTensor) else scaled
        return item

    def _window(self, image: Any, values: Any) -> Window:
        units = image.meta.get("units") if isinstance(image, MetaTensor) else None
        if units == "HU":
            return self.ct_window
        if units == "display" and _is_eight_bit(values):
            return _EIGHT_BIT
        return window_of_values(Histogram.of(values), units)


def _is_eight_bit(values: Any) -> bool:
    """Whether all values are whole numbers from 0 to 255."""
    return values.min() >= 0 and values.max() <= 255 and bool((values == values.round()).all())
