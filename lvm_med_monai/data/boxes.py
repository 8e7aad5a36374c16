"""Datalists of pictures and boxes, checked before anything is trained on them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel
import torch
from monai.data import list_data_collate
from torch.nn.functional import pad

from lvm_med_monai.data.fused_boxes import fuse_boxes
from lvm_med_monai.data.pictures import check_picture
from lvm_med_monai.data.samples import sample_exists, stacks_at
from lvm_med_monai.data.sections import read_sections
from lvm_med_monai.data.stored_pictures import is_nifti
from lvm_med_monai.slices import Stack

_SLACK = 1.0
"""Pixels by which a box may leave its image, as rounding does; it is clipped."""


def read_boxes(
    dataset_dir: str | Path,
    section: str,
    classes: Sequence[str],
    labels: Sequence[int] | None = None,
    ignored_labels: Sequence[int] = (),
    keep_empty: bool = True,
    fusion_overlap: float | None = None,
    repeat_below: float = 0.0,
    name: str = "dataset.json",
) -> list[dict[str, Any]]:
    """Pictures and boxes of one section of a MONAI datalist.

    A datalist is ``{"training": [{"image": "a.png", "box": [[x1, y1, x2, y2]], "label": [0]}], ...}`` with paths
    relative to its folder, as ``python -m lvm_med_monai.lists datalist`` writes it. Boxes are in pixels of the picture
    as it is stored: x to the right (the first axis of a NIfTI file), y down (the second axis); left, top, right and
    bottom edge, so that a box around the first pixel is 0, 0, 1, 1. A picture without boxes has empty lists. A picture
    may be a slice of an extracted folder, as ``FOLDER/SLICE_ID``; its boxes are in pixels of the extracted slice.

    Args:
        dataset_dir: folder of the datalist.
        section: key of the list to read.
        classes: names of the classes.
        labels: what the datalist writes for each class; their positions, from 0, by default.
        ignored_labels: what the datalist writes for classes that are left out.
        keep_empty: keep pictures without boxes.
        fusion_overlap: if given, boxes of one class in one picture that overlap by more than this IoU, such as those
            of several readers, become their mean.
        repeat_below: pictures with a class that fewer than this share of the pictures show are repeated
            (`repeat_rare`); 0 for none. For training alone.
        name: file name of the datalist.

    Returns:
        Items with ``image``, an absolute path, ``name``, the path as the datalist has it, ``box``, float32 (N, 4), and
        ``label``, int64 (N,), positions in ``classes``. Other keys stay as they are.

    Raises:
        FileNotFoundError: the datalist or a picture is absent.
        ValueError: a label is a class and ignored too, the section is absent or empty, an entry is not of this form, a
            box has no area inside its picture or leaves it, a label is unknown, or a file is no single grey or colour
            picture.
    """
    numbers = list(range(len(classes)) if labels is None else labels)
    if len(set(numbers)) != len(numbers) or len(numbers) != len(classes) or not classes:
        raise ValueError(f"{len(classes)} classes need as many different labels, got {numbers}")
    if both := sorted(set(numbers) & set(ignored_labels)):
        raise ValueError(f"the labels {both} are those of classes and in ignored_labels too: set ignored_labels to []")
    root = Path(dataset_dir)
    items = []
    for entry in read_sections(root, section, name)[section]:
        where = f"{name}, {section}"
        boxes, found = _lists(entry, where)
        image = entry["image"]
        width, height = _size(root / image)
        kept = [index for index, label in enumerate(found) if label not in ignored_labels]
        for index in kept:
            _check_label(found[index], numbers, classes, f"{where}: {image}")
        inside = [_inside(boxes[index], width, height, f"{where}: {image}") for index in kept]
        box = torch.tensor(inside, dtype=torch.float32).reshape(-1, 4)
        label = torch.tensor([numbers.index(found[index]) for index in kept], dtype=torch.int64)
        if fusion_overlap is not None:
            box, label = fuse_boxes(box, label, fusion_overlap)
        if keep_empty or len(box):
            place = {"image": str((root / image).absolute()), "name": image}
            items.append({**entry, **place, "box": box, "label": label})
    if not items:
        raise ValueError(
            f"{name}, {section} has no box of {', '.join(classes)}: check the labels, or keep empty pictures"
        )
    return repeat_rare(items, repeat_below)


def repeat_rare(items: Sequence[dict[str, Any]], below: float) -> list[dict[str, Any]]:
    """Items of which those with rare classes stand in the list more than once.

    ``f(c)`` is the share of the items that show class c. An item stands there
    ``ceil(max_c max(1, sqrt(below / f(c))))`` times, its classes c; once if it shows none.

    Args:
        items: of `read_boxes`.
        below: share of the items under which a class is rare.

    References:
        Gupta et al., LVIS, CVPR 2019, arXiv:1908.03195, appendix B: repeat factor sampling, with a random rounding.
    """
    shown = [set(item["label"].tolist()) for item in items]
    count = {kind: sum(kind in kinds for kinds in shown) for kind in set().union(*shown)}
    factor = {kind: max(1.0, math.sqrt(below * len(items) / number)) for kind, number in count.items()}
    times = [math.ceil(max((factor[kind] for kind in kinds), default=1.0)) for kinds in shown]
    return [item for item, number in zip(items, times, strict=True) for _ in range(number)]


def collate_boxes(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A batch of items whose ``target`` (N, 5) differ in length: rows of -1 are added below.

    Raises:
        ValueError: images of different sizes.
    """
    sizes = {tuple(item["image"].shape) for item in items}
    if len(sizes) > 1:
        raise ValueError(
            f"a batch has images of the sizes {sorted(sizes)}: resize them (FitBoxesd) or set batch_size 1"
        )
    longest = max(len(item["target"]) for item in items)
    filled = [
        {**item, "target": pad(item["target"], [0, 0, 0, longest - len(item["target"])], value=-1.0)} for item in items
    ]
    return list_data_collate(filled)


def _lists(entry: Any, where: str) -> tuple[list[Any], list[Any]]:
    """Boxes and labels of an entry."""
    if not isinstance(entry, dict) or not isinstance(entry.get("image"), str):
        raise ValueError(f'{where}: {entry} has no path under "image"')
    boxes, labels = entry.get("box"), entry.get("label")
    if not isinstance(boxes, list) or not isinstance(labels, list) or len(boxes) != len(labels):
        raise ValueError(
            f'{where}: {entry["image"]} needs a list "box" and a list "label" of the same length; both empty for a '
            "picture without findings"
        )
    return boxes, labels


def _check_label(label: Any, numbers: Sequence[int], classes: Sequence[str], where: str) -> None:
    if isinstance(label, bool) or not isinstance(label, int) or label not in numbers:
        raise ValueError(
            f"{where} has the label {label!r}, which is none of the {len(classes)} classes: expected one of "
            f"{list(numbers)}; correct the datalist, class_names or class_labels, or name it in ignored_labels"
        )


def _inside(box: Any, width: int, height: int, where: str) -> list[float]:
    """A box clipped to its picture, in which it has an area."""
    numbers = isinstance(box, list) and len(box) == 4 and all(type(value) in (int, float) for value in box)
    if not numbers or not all(math.isfinite(value) for value in box):
        raise ValueError(f"{where} has the box {box}: expected x1, y1, x2, y2, four numbers of pixels")
    x1, y1, x2, y2 = torch.tensor(box, dtype=torch.float32).tolist()
    if x2 <= x1 or y2 <= y1:
        raise ValueError(f"{where} has the box {box} without area: expected x1, y1, x2, y2 with x2 > x1 and y2 > y1")
    clipped = [max(x1, 0), max(y1, 0), min(x2, width), min(y2, height)]
    outside = clipped[2] <= clipped[0] or clipped[3] <= clipped[1]
    if outside or min(x1, y1) < -_SLACK or x2 > width + _SLACK or y2 > height + _SLACK:
        raise ValueError(
            f"{where} has the box {box}, which leaves the picture of {width} x {height} pixels: give pixels of the "
            "stored picture, x to the right and y down"
        )
    return clipped


def _size(path: Path) -> tuple[int, int]:
    """Columns and rows of the one picture at a path as it is stored, by its header."""
    if path.exists() or not sample_exists(path):
        check_picture(path)  # an extracted slice is one grey or colour picture by its making
    if is_nifti(path):
        width, height = nibabel.load(path).shape[:2]
        return width, height
    (stack,) = (item for item in stacks_at(path) if isinstance(item, Stack))
    return stack.width, stack.height
