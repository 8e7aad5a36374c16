"""Stored values of masks as classes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from numpy.typing import NDArray

from lvm_med_monai.transforms.file_names import name_of

NO_CLASS = -1
LARGEST_TABLE = 1 << 20
"""Values above this cannot be those of a mask."""
_SHOWN = 5

Rule = tuple[int, int, int]


class MapLabelsd(MapTransform):
    """Classes of the values that masks store, by rules; values without a rule are an error.

    A rule is ``[lowest, highest, class]``, both ends included; of several that hold a value the first counts. A mask of
    lossy JPEG holds values between its two: ``[[0, 127, 0], [128, 255, 1]]`` divides them in the middle.

    Several masks of one image are channels. Without ``mask_classes`` they belong together: a pixel has the highest
    class that any of them gives it. With it, the foreground of mask ``i`` has class ``mask_classes[i]`` (0 leaves the
    mask out), and of masks that overlap the last counts.

    Args:
        keys: of the masks, (masks, W, H[, D]).
        rules: at least one.
        mask_classes: class of each of several masks; an image with a single mask goes by the rules alone.
        allow_missing_keys: whether an item may lack a key.

    Returns:
        Masks (1, W, H[, D]) uint8.

    Raises:
        ValueError: a rule is empty or has an impossible class, ``mask_classes`` names none, or a mask holds a value
            that no rule knows.

    Example:
        >>> kidneys = MapLabelsd("label", [[2, 3, 1], [0, 255, 0]])
        >>> kidneys({"label": torch.tensor([[[0, 1, 2, 3]]])})["label"].tolist()
        [[[0, 0, 1, 1]]]
    """

    def __init__(
        self,
        keys: KeysCollection,
        rules: Sequence[Sequence[int]],
        mask_classes: Sequence[int] | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.rules = [_checked(rule) for rule in rules]
        if not self.rules:
            raise ValueError("a label map needs at least one rule [lowest, highest, class]")
        if mask_classes is not None and not _name_a_class(mask_classes):
            raise ValueError(
                f"mask_classes gives the class of each mask, 1 to 255, or 0 to leave it out, but one at least; got "
                f"{list(mask_classes)}: null unites the masks"
            )
        self.mask_classes = mask_classes
        self.table = _table(self.rules)

    @property
    def classes(self) -> set[int]:
        """Every class that a mask can come to hold."""
        return {rule[2] for rule in self.rules} | set(self.mask_classes or ())

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Map each key."""
        item = dict(data)
        for key in self.key_iterator(item):
            item[key] = self._map(item[key])
        return item

    def _map(self, mask: torch.Tensor) -> torch.Tensor:
        classes = torch.from_numpy(self._looked_up(np.asarray(mask.cpu()), name_of(mask, "a mask")))
        if len(classes) > 1:
            joined = classes.amax(0, keepdim=True) if self.mask_classes is None else self._painted(classes, mask)
        else:
            joined = classes
        result = mask[:1].clone().byte()
        result[:] = joined.to(result.device)
        return result

    def _looked_up(self, values: NDArray[Any], name: str) -> NDArray[np.uint8]:
        low, high = float(values.min()), float(values.max())
        inside = low >= 0 and high < len(self.table)
        whole = values.astype(np.int64) if inside else None
        if whole is not None and (whole == values).all():
            found = self.table[whole]
            if found.min() > NO_CLASS:
                return found.astype(np.uint8)
        wrong = [value for value in np.unique(values) if not self._knows(value)]
        shown = ", ".join(f"{value:g}" for value in wrong[:_SHOWN]) + (", ..." if len(wrong) > _SHOWN else "")
        raise ValueError(
            f"{name} holds {shown}, which the label map has no class for: it knows {self.described()}. Correct the "
            "mask, or give label_map::rules a rule [lowest, highest, class] for it"
        )

    def _knows(self, value: float) -> bool:
        return (
            bool(np.isfinite(value))
            and value == int(value)
            and any(low <= value <= high for low, high, _ in self.rules)
        )

    def _painted(self, classes: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        wanted = list(self.mask_classes or ())
        needed = max(index for index, value in enumerate(wanted, start=1) if value)
        if not needed <= len(classes) <= len(wanted):
            raise ValueError(
                f"{name_of(mask, 'an image')} is the first of {len(classes)} masks, expected {needed} to "
                f"{len(wanted)}, of the classes {wanted}: list the masks of each image in this order"
            )
        joined = torch.zeros_like(classes[:1])
        for one, value in zip(classes, wanted, strict=False):
            if value:
                joined[0][one > 0] = value
        return joined

    def described(self) -> str:
        """The rules in words."""
        return ", ".join(
            f"{low} to {high} as class {k}" if low < high else f"{low} as {k}" for low, high, k in self.rules
        )


def _checked(rule: Sequence[int]) -> Rule:
    if len(rule) != 3 or not 0 <= rule[0] <= rule[1] < LARGEST_TABLE or not 0 <= rule[2] < 256:
        raise ValueError(f"a rule is [lowest, highest, class] with a class of 0 to 255, got {list(rule)}")
    return int(rule[0]), int(rule[1]), int(rule[2])


def _name_a_class(mask_classes: Sequence[int]) -> bool:
    return any(mask_classes) and all(0 <= value < 256 for value in mask_classes)


def _table(rules: Sequence[Rule]) -> NDArray[np.int16]:
    """Class of each stored value; `NO_CLASS` where no rule holds."""
    table = np.full(max(high for _, high, _ in rules) + 1, NO_CLASS, np.int16)
    for low, high, value in reversed(rules):
        table[low : high + 1] = value
    return table
