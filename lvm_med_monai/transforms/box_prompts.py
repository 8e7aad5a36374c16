"""Prompts out of masks, for training and for measuring: what a user would have drawn."""

from __future__ import annotations

import zlib
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Randomizable
from numpy.typing import NDArray

from lvm_med_monai.transforms.file_names import name_of
from lvm_med_monai.transforms.prompt_table import Box, prompt_plane, prompt_rows

TARGETS = ("each", "all")
_MOST_PIXELS = 20.0
"""Largest shift of a box's side by ``jitter``, as SAM was trained."""


def prompted_classes(target: str | int) -> list[int] | None:
    """Values of a mask that prompts point at; None where ``target`` of `AddMaskPromptsd` is "each" or "all"."""
    return None if isinstance(target, str) else [target]


class AddMaskPromptsd(Randomizable, MapTransform):
    """Adds a channel of prompts to each slice and makes its mask the one object that the prompts point at.

    A slice gets the tight box around its object, from the first to the last pixel; or, at random, one click inside. A
    slice without an object gets no prompt.

    Args:
        keys: of the images, slices (C, H, W) or stacks (C, H, W, D).
        label_key: mask of the same slices, one channel; 0 is background.
        target: which object of a mask: "each" takes one value, at random if ``random``, else the one of most pixels;
            "all" takes everything above 0; a number takes that value.
        jitter: largest shift of each side of a box, inwards or outwards, as a share of the box's extent; at most 20
            pixels.
        push: largest shift of each side outwards, in whole steps of ``stride`` pixels, as LVM-Med's paper draws.
        stride: look at every ``stride``-th row and column of the mask only, for its box and as the mask to learn.
        clicks: share of slices that get a click instead of a box.
        random: draw anew each time; otherwise what is drawn depends on the mask alone and comes again.

    Raises:
        ValueError: a setting is out of range, image and mask differ in size, or a mask has several channels.
    """

    def __init__(
        self,
        keys: KeysCollection,
        label_key: str = "label",
        target: str | int = "each",
        jitter: float = 0.0,
        push: int = 0,
        stride: int = 1,
        clicks: float = 0.0,
        random: bool = True,
    ) -> None:
        super().__init__(keys)
        if isinstance(target, str) and target not in TARGETS:
            raise ValueError(f"target is a value of the mask or one of {', '.join(TARGETS)}, got {target!r}")
        if jitter < 0 or push < 0 or stride < 1 or not 0 <= clicks <= 1:
            raise ValueError(
                f"expected jitter and push of at least 0, stride of at least 1 and clicks in [0, 1], got {jitter}, "
                f"{push}, {stride} and {clicks}"
            )
        self.label_key = label_key
        self.target = target
        self.jitter, self.push, self.stride, self.clicks, self.random = jitter, push, stride, clicks, random

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Apply to each key; the mask becomes uint8."""
        item = dict(data)
        label = item[self.label_key]
        if len(label) != 1:
            raise ValueError(
                f"{name_of(label, 'a mask')} has {len(label)} channels, expected one: MergeMasksd joins them"
            )
        stored = np.asarray(label.cpu())[0]
        values = stored[..., None] if stored.ndim == 2 else stored
        chosen, rows = zip(*(self._prompted(values[..., index]) for index in range(values.shape[-1])), strict=True)
        objects = np.stack(chosen, -1).reshape(stored.shape)[:: self.stride, :: self.stride]
        target = label[:, :: self.stride, :: self.stride].clone().byte()
        target[0] = torch.from_numpy(np.ascontiguousarray(objects).astype(np.uint8))
        item[self.label_key] = target
        for key in self.key_iterator(item):
            image = item[key]
            if tuple(image.shape[1:]) != stored.shape:
                raise ValueError(
                    f"{name_of(image)} has slices of {tuple(image.shape[1:])}, its mask of {stored.shape}: "
                    "bring both to one grid first"
                )
            planes = torch.stack([prompt_plane(row, *values.shape[:2]) for row in rows], -1).reshape(stored.shape)
            item[key] = torch.cat([image, planes.to(torch.as_tensor(image))[None]])
        return item

    def _prompted(self, values: NDArray[Any]) -> tuple[NDArray[np.bool_], list[tuple[float, float, float]]]:
        """The object of one slice, and the rows of its prompts."""
        generator = self.R if self.random else np.random.RandomState(zlib.crc32(np.ascontiguousarray(values).data))
        chosen = self._object(values, generator)
        coarse = chosen[:: self.stride, :: self.stride]
        if not coarse.any():
            return chosen, []
        if generator.uniform() < self.clicks:
            places = np.argwhere(chosen)
            row, column = places[generator.randint(len(places))]
            return chosen, prompt_rows(foreground=[(float(column), float(row))])
        return chosen, prompt_rows(box=self._box(coarse, generator))

    def _object(self, values: NDArray[Any], generator: np.random.RandomState) -> NDArray[np.bool_]:
        if self.target == "all":
            return values > 0
        if self.target != "each":
            return values == self.target
        present, counts = np.unique(values[values > 0], return_counts=True)
        if not len(present):
            return np.zeros(values.shape, bool)
        wanted = present[generator.randint(len(present))] if self.random else present[counts.argmax()]
        return values == wanted

    def _box(self, mask: NDArray[np.bool_], generator: np.random.RandomState) -> Box:
        """Tight box in pixels of the image, shifted as the settings say and cut to the image."""
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        first = np.array([columns[0], rows[0]], float)
        last = np.array([columns[-1], rows[-1]], float)
        first -= generator.randint(self.push + 1, size=2)
        last += generator.randint(self.push + 1, size=2)
        reach = np.minimum(self.jitter * (last - first + 1), _MOST_PIXELS)
        end = np.array(mask.shape[::-1]) - 1
        first = np.clip(first + generator.uniform(-reach, reach), 0, end)
        last = np.clip(last + generator.uniform(-reach, reach), first, end)
        return (
            float(first[0] * self.stride),
            float(first[1] * self.stride),
            float(last[0] * self.stride),
            float(last[1] * self.stride),
        )
