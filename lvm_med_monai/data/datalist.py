"""MONAI datalists of images and masks, checked before anything is trained on them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from lvm_med_monai.data.grids import grid_of


def read_datalist(dataset_dir: str | Path, section: str, name: str = "dataset.json") -> list[dict[str, str]]:
    """Pairs of image and mask of one section of a MONAI datalist, as absolute paths.

    A datalist is ``{"training": [{"image": "a.nii.gz", "label": "b.nii.gz"}], "validation": [...]}`` with paths
    relative to the folder that holds it. An image may be a folder of DICOM files.

    Args:
        dataset_dir: folder of the datalist.
        section: key of the list to read.
        name: file name of the datalist.

    Raises:
        FileNotFoundError: the datalist or a file that it names is absent.
        ValueError: the section is absent or empty, or a mask does not lie on the grid of its image.
    """
    root = Path(dataset_dir)
    path = root / name
    if not path.is_file():
        raise FileNotFoundError(f"no datalist {name} in {root}: write one with sections of image and label paths")
    sections = json.loads(path.read_text(encoding="utf-8"))
    if not sections.get(section):
        raise ValueError(f"{name} has no section {section!r} with entries: it has {sorted(sections)}")
    entries = [{key: str(root / value) for key, value in entry.items()} for entry in sections[section]]
    for entry in entries:
        _check_pair(entry)
    return entries


def _check_pair(entry: Mapping[str, str]) -> None:
    """Compare the grids of image and mask by their headers; axes may be stored in another order or direction."""
    for path in entry.values():
        if not Path(path).exists():
            raise FileNotFoundError(f"the datalist names {path}, which does not exist")
    if "label" not in entry:
        return
    image, label = grid_of(entry["image"]), grid_of(entry["label"])
    if not image.fits(label):
        raise ValueError(
            f"mask {Path(entry['label']).name} does not lie on the grid of {Path(entry['image']).name}: "
            f"the mask has {label}, the image {image}"
        )


def label_table(structures: Sequence[int], size: int = 256) -> list[int]:
    """Targets for ``MapLabelValued``: structure ``structures[i]`` becomes ``i + 1``, every other id below ``size`` 0.

    Args:
        structures: ids to keep, in the order of the new labels.
        size: number of ids that masks may hold.

    Raises:
        ValueError: an id is repeated, 0 (background), or not below ``size``.

    Example:
        >>> label_table([5, 1], size=6)
        [0, 2, 0, 0, 0, 1]
    """
    if len(set(structures)) != len(structures) or not all(0 < structure < size for structure in structures):
        raise ValueError(f"structures must be different ids of 1 to {size - 1}, got {list(structures)}")
    table = [0] * size
    for label, structure in enumerate(structures, start=1):
        table[structure] = label
    return table
