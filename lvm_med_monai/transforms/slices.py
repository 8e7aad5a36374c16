"""Pictures and volumes as stacks of slices, and slices out of them."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import InvertibleTransform, MapTransform, Randomizable
from monai.transforms.traits import MultiSampleTrait

from lvm_med_monai.transforms.file_names import name_of


class AsSlicesd(MapTransform, InvertibleTransform):
    """A picture (C, W, H) as a stack of one slice (C, W, H, 1); a stack (C, W, H, D) stays as it is.

    The inverse takes the last axis off what was a picture.

    Args:
        keys: of the images.
        allow_missing_keys: whether an item may lack a key.

    Raises:
        ValueError: an image has another number of axes.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Apply to each key."""
        item = dict(data)
        for key in self.key_iterator(item):
            image = item[key]
            if image.ndim not in (3, 4):
                raise ValueError(
                    f"{name_of(image)} has shape {tuple(image.shape)}: expected channels first and a picture or volume"
                )
            picture = image.ndim == 3
            item[key] = image[..., None] if picture else image
            self.push_transform(item, key, extra_info={"picture": picture})
        return item

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Give pictures back their two axes."""
        item = dict(data)
        for key in self.key_iterator(item):
            if self.pop_transform(item, key)["extra_info"]["picture"]:
                item[key] = item[key][..., 0]
        return item


class RandBalancedSlicesd(Randomizable, MapTransform, MultiSampleTrait):
    """Draws slices of a stack, a share of them with a target, the others without.

    Slices with a target are drawn class by class, so that a rare class is seen as often as a common one; within a class
    none is drawn twice before all were. A stack in which all slices hold a target, or none does, gives slices of the
    one kind. Metadata are left behind.

    Args:
        keys: images (C, W, H, D) to take the slices of.
        label_key: mask (1, W, H, D) of classes, 0 being background.
        num_samples: slices to draw of each stack.
        share: expected share of slices with a target; 0.5 is as many with as without.
        classes: classes that count as a target; None for all but background.

    Returns:
        A list of ``num_samples`` items, images (C, W, H) as plain tensors.

    Raises:
        ValueError: ``num_samples`` or ``share`` is out of range, or an image has not as many slices as the mask.
    """

    def __init__(
        self,
        keys: KeysCollection,
        label_key: str,
        num_samples: int = 1,
        share: float = 0.5,
        classes: Sequence[int] | None = None,
    ) -> None:
        super().__init__(keys)
        if num_samples < 1 or not 0 <= share <= 1:
            raise ValueError(f"expected at least one sample and a share in [0, 1], got {num_samples} and {share}")
        self.label_key = label_key
        self.num_samples = num_samples
        self.share = share
        self.classes = None if classes is None else sorted(classes)

    def __call__(self, data: Mapping[Hashable, Any]) -> list[dict[Hashable, Any]]:
        """Draw from one stack."""
        label = data[self.label_key]
        chosen = self._draw(torch.as_tensor(label))
        images = {key: data[key] for key in self.key_iterator(data)}
        for key, image in images.items():
            if image.ndim != 4 or image.shape[-1] != label.shape[-1]:
                raise ValueError(
                    f"{name_of(image)} under {key} has shape {tuple(image.shape)}, its mask {tuple(label.shape)}: "
                    "expected as many slices, along the last axis"
                )
        rest = {key: value for key, value in data.items() if key not in images}
        return [{**rest, **{key: _slice(image, index) for key, image in images.items()}} for index in chosen]

    def _draw(self, label: torch.Tensor) -> list[int]:
        """Indices of the slices to take."""
        holding = [slices for slices in _slices_of_classes(label, self.classes) if slices]
        with_target = sorted({index for slices in holding for index in slices})
        without = sorted(set(range(label.shape[-1])) - set(with_target))
        targets = int(self.num_samples * self.share + self.R.uniform())
        if not without or not with_target:
            targets = self.num_samples if with_target else 0
        by_class = [self._endless(slices) for slices in holding]
        turns = self._endless(list(range(len(by_class))))
        drawn = [next(by_class[next(turns)]) for _ in range(targets)]
        empty = self._endless(without)
        return drawn + [next(empty) for _ in range(self.num_samples - targets)]

    def _endless(self, values: Sequence[int]) -> Iterator[int]:
        """The values in random order, again and again, each time in another order."""
        while True:
            for place in self.R.permutation(len(values)):
                yield values[int(place)]


def _slice(image: torch.Tensor, index: int) -> torch.Tensor:
    """One slice of a stack, in memory of its own."""
    values = image.as_tensor() if isinstance(image, MetaTensor) else torch.as_tensor(image)
    return values[..., index].clone()


def _slices_of_classes(label: torch.Tensor, classes: Sequence[int] | None) -> list[list[int]]:
    """For each class, the slices that hold it."""
    present = [value for value in label.unique().int().tolist() if value > 0]
    wanted = present if classes is None else [value for value in classes if value in present]
    return [(label == value).any(0).any(0).any(0).nonzero().flatten().tolist() for value in wanted]
