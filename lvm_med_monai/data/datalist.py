"""MONAI datalists of images and what they are labelled with, checked before anything is trained on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lvm_med_monai.data.grids import grid_of
from lvm_med_monai.data.samples import sample_exists
from lvm_med_monai.data.sections import read_sections

PATHS = ("image", "label")
"""Keys of an entry whose strings are paths."""


def read_datalist(
    dataset_dir: str | Path,
    section: str,
    name: str = "dataset.json",
    needs: Sequence[str] = ("image",),
    image_index: int | None = None,
) -> list[dict[str, Any]]:
    """Entries of one section of a MONAI datalist, with absolute paths.

    A datalist is ``{"training": [{"image": "a.nii.gz", "label": "b.nii.gz"}], "validation": [...]}`` with paths
    relative to the folder that holds it, as ``python -m lvm_med_monai.lists datalist`` writes it. An image may be a
    folder of DICOM files, or a slice of an extracted folder as ``FOLDER/SLICE_ID`` (see `data.samples`); a label may be
    a path, a list of the paths of several masks, or anything else, such as the number of a class.

    Args:
        dataset_dir: folder of the datalist.
        section: key of the list to read.
        name: file name of the datalist.
        needs: keys that every entry must have.
        image_index: which to take of an image that is a list, such as sequences of MR.

    Raises:
        FileNotFoundError: the datalist or a file that it names is absent.
        ValueError: the section is absent or empty, an entry is no object or lacks a key, an image is a list without
            ``image_index``, or a mask does not lie on the grid of its image.
    """
    root = Path(dataset_dir)
    entries = []
    for number, entry in enumerate(read_sections(root, section, name)[section]):
        where = f"entry {number} of section {section!r} of {name}"
        lacking = [key for key in needs if entry.get(key) in (None, "", [])]
        if lacking:
            raise ValueError(f"{where} has no {lacking[0]}: add one, or leave the entry out")
        entry = {**entry, "image": _one_image(entry["image"], image_index, where)}
        entries.append({key: _resolved(root, key, value) for key, value in entry.items()})
    for entry in entries:
        _check_pair(entry)
    return entries


def _one_image(image: Any, index: int | None, where: str) -> Any:
    if not isinstance(image, list):
        return image
    if index is None or not -len(image) <= index < len(image):
        raise ValueError(f"{where} has {len(image)} images: choose one by image_index, 0 being the first")
    return image[index]


def _resolved(root: Path, key: str, value: Any) -> Any:
    if key not in PATHS or not value:
        return value
    if isinstance(value, str):
        return str(root / value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return [str(root / item) for item in value]
    return value


def paths_in(entry: Mapping[str, Any], key: str) -> list[str]:
    """Paths under a key of an entry: one, several, or none if the value is no path."""
    value = entry.get(key)
    values = value if isinstance(value, list) else [value]
    paths = [item for item in values if isinstance(item, str) and item]
    return paths if len(paths) == len(values) else []


def _check_pair(entry: Mapping[str, Any]) -> None:
    """Compare the grids of image and masks by their headers; axes may be stored in another order or direction."""
    images, labels = paths_in(entry, "image"), paths_in(entry, "label")
    for path in [*images, *labels]:
        if not sample_exists(path):
            raise FileNotFoundError(f"the datalist names {path}, which does not exist")
    if not images or not labels:
        return
    image = grid_of(images[0])
    for path in labels:
        label = grid_of(path)
        if not image.fits(label):
            raise ValueError(
                f"mask {Path(path).name} does not lie on the grid of {Path(images[0]).name}: "
                f"the mask has {label}, the image {image}"
            )
