"""A few training images of each class, as few-shot benchmarks take them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from lvm_med_monai.data.classes import entries_of
from lvm_med_monai.data.labelled_slices import LabelledSlices


def few_shot(
    items: Sequence[dict[str, Any]], classes: Sequence[str], shots: int | None, seed: int = 0
) -> Sequence[dict[str, Any]]:
    """Choose images until every class has ``shots`` of them.

    Goes through the items in an order drawn by the seed and takes each that shows a class which still lacks images. An
    image with several findings counts for all of them, so a class can end up with more. A class with fewer images in
    all gives those that it has.

    Args:
        items: of `read_classes`, or `LabelledSlices`; single-label or multi-label.
        classes: names of the classes.
        shots: images of each class; None takes all items.
        seed: draws the order.

    Returns:
        The chosen items, in their original order.

    Raises:
        ValueError: ``shots`` is below 1, or a class has no image at all.
    """
    if shots is None:
        return items
    if shots < 1:
        raise ValueError(f"shots is a number of images of each class, at least 1, got {shots}")
    shown = [_classes_of(entry["label"]) for entry in entries_of(items)]
    absent = [name for number, name in enumerate(classes) if not any(number in present for present in shown)]
    if absent:
        raise ValueError(f"no training image shows {', '.join(absent)}: add some, or take the class out of class_names")
    order = list(range(len(items)))
    random.Random(seed).shuffle(order)
    lacking = dict.fromkeys(range(len(classes)), shots)
    chosen = []
    for index in order:
        if any(lacking[number] > 0 for number in shown[index]):
            chosen.append(index)
            for number in shown[index]:
                lacking[number] -= 1
    chosen.sort()
    return items.take(chosen) if isinstance(items, LabelledSlices) else [items[index] for index in chosen]


def _classes_of(label: int | Sequence[float]) -> set[int]:
    """Classes that a label names."""
    if isinstance(label, int):
        return {label}
    return {number for number, value in enumerate(label) if value == 1}
