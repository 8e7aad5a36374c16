"""Datalists of images and classes, checked before anything is trained on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from lvm_med_monai.data.pictures import check_picture
from lvm_med_monai.data.sections import read_sections
from lvm_med_monai.data.unknown import UNKNOWN, is_known

PATIENT = "patient"
_UNCERTAIN = {"ignore": float(UNKNOWN), "negative": 0.0, "positive": 1.0}


def read_classes(
    dataset_dir: str | Path,
    section: str,
    classes: Sequence[str],
    multi_label: bool = False,
    uncertain: str = "ignore",
    name: str = "dataset.json",
) -> list[dict[str, Any]]:
    """Images of one section of a MONAI datalist and their classes.

    A datalist is ``{"training": [{"image": "a.png", "label": 2}], "validation": [...]}`` with paths relative to its
    folder. A label is the number of a class or its name; with ``multi_label`` a list with an entry a class: 1 present,
    0 absent, -1 uncertain. An image is a picture, or a NIfTI file or DICOM of one slice.

    Args:
        dataset_dir: folder of the datalist.
        section: key of the list to read.
        classes: names of the classes, in the order of the network's outputs.
        multi_label: whether an image can have several classes, or none.
        uncertain: what becomes of -1: "ignore" leaves the finding of this image out of loss and metrics, "negative"
            and "positive" take it for absent or present. These are the policies U-Ignore, U-Zeros and U-Ones of
            CheXpert (Irvin et al., AAAI 2019, arXiv:1901.07031).
        name: file name of the datalist.

    Returns:
        Items with ``image``, an absolute path, ``name``, the path as the datalist has it, and ``label``: the number of
        the class, or with ``multi_label`` one number a class: 1 present, 0 absent, `UNKNOWN`. Other keys stay as they
        are where all entries have them.

    Raises:
        FileNotFoundError: the datalist or an image is absent.
        ValueError: the section is absent or empty, only some entries name their ``patient``, a label is outside of the
            classes or not of the right form, or an image is no single picture, or has four channels.

    Example:
        A datalist ``{"training": [{"image": "a.png", "label": "glioma"}]}`` gives ``[{"image": "/data/a.png",
        "name": "a.png", "label": 1}]`` for the classes "no tumour" and "glioma".
    """
    root = Path(dataset_dir)
    items = read_labels(root, section, classes, multi_label, uncertain, name)
    for item in items:
        item["image"] = str((root / item["name"]).absolute())
        check_picture(item["image"])
    return items


def read_labels(
    dataset_dir: str | Path,
    section: str,
    classes: Sequence[str],
    multi_label: bool = False,
    uncertain: str = "ignore",
    name: str = "dataset.json",
) -> list[dict[str, Any]]:
    """As `read_classes`, but without looking for the images: an item's ``image`` is what the datalist has.

    Raises:
        FileNotFoundError: the datalist is absent.
        ValueError: as `read_classes`, apart from the images.
    """
    if uncertain not in _UNCERTAIN:
        raise ValueError(f"uncertain is one of {', '.join(_UNCERTAIN)}, got {uncertain!r}")
    if len(set(classes)) != len(classes) or len(classes) < (1 if multi_label else 2):
        raise ValueError(f"classes must be different names, two at least if they exclude each other: {list(classes)}")
    items = []
    for entry in read_sections(Path(dataset_dir), section, name)[section]:
        image = entry.get("image")
        if not isinstance(image, str):
            raise ValueError(f'{name}, {section}: {entry} has no path under "image"; several images need entries each')
        if not is_known(entry.get("label")):
            raise ValueError(f"{name}, {section}: {image} has no label; leave it out, or label it")
        read: Callable[..., Any] = _findings if multi_label else _one_class
        try:
            label = read(entry["label"], classes, _UNCERTAIN[uncertain])
        except ValueError as error:
            raise ValueError(f"{name}, {section}: {image} has {error}") from None
        items.append({**entry, "name": image, "label": label})
    shared = set.intersection(*(set(item) for item in items))  # batches need the same keys in every item
    lacking = [item["name"] for item in items if PATIENT not in item]
    if 0 < len(lacking) < len(items):
        raise ValueError(
            f"{name}, {section}: {len(lacking)} of {len(items)} entries, such as {lacking[0]}, have no {PATIENT!r}: "
            "name it in all or none"
        )
    return [{key: value for key, value in item.items() if key in shared} for item in items]


def class_weights(
    items: Sequence[Mapping[str, Any]], classes: int, multi_label: bool = False, power: float = 1.0
) -> torch.Tensor:
    """Weights that make rare classes count more in the loss.

    Without ``multi_label`` the weight of class c is ``(N / (C n_c)) ** power``, with n_c of N images: the loss weighs
    each class the same for power 1. With it, the weight of the positives of c is ``(absent_c / present_c) ** power``,
    unknown labels left out. A count of 0 is taken for 1.

    Args:
        items: of `read_classes`, or `LabelledSlices`.
        classes: number of classes, C.
        multi_label: as there.
        power: 0 for weights of 1, 1 for full balance.

    Raises:
        ValueError: ``power`` is negative.
    """
    if power < 0:
        raise ValueError(f"the power of class weights is 0 or more, got {power}: a negative one drops rare classes")
    labels = torch.tensor([entry["label"] for entry in entries_of(items)])
    if multi_label:
        return ((labels == 0).sum(0).clamp(min=1) / (labels == 1).sum(0).clamp(min=1)) ** power
    present = torch.bincount(labels, minlength=classes).clamp(min=1)
    return (len(labels) / (classes * present)) ** power


def entries_of(items: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Items without their images, where those would be read for it (`LabelledSlices`)."""
    return getattr(items, "entries", items)


def _one_class(label: Any, classes: Sequence[str], uncertain: float) -> int:
    if isinstance(label, str) and label in classes:
        label = list(classes).index(label)
    if isinstance(label, list):
        raise ValueError(f"the list {label} as its label, but classes exclude each other here: set multi_label")
    if isinstance(label, bool) or not isinstance(label, int) or not 0 <= label < len(classes):
        raise ValueError(
            f"the label {label!r}, which is none of the {len(classes)} classes: expected 0 to {len(classes) - 1} or "
            f"one of {', '.join(classes)}; correct the datalist or class_names"
        )
    return label


def _findings(label: Any, classes: Sequence[str], uncertain: float) -> list[float]:
    if not isinstance(label, list) or len(label) != len(classes):
        raise ValueError(
            f"the label {label!r}: expected a list of {len(classes)} numbers, one for each of {', '.join(classes)}; "
            "correct the datalist or class_names"
        )
    if any(isinstance(value, bool) or value not in (0, 1, -1) for value in label):
        raise ValueError(f"the label {label}: expected 1 (present), 0 (absent or not mentioned) and -1 (uncertain)")
    return [uncertain if value == -1 else float(value) for value in label]
