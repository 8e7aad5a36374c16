"""Images whose labels are any names: classes, patients, series; for embeddings, which need no fixed set of classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from lvm_med_monai.data.pictures import check_picture
from lvm_med_monai.data.sections import read_sections
from lvm_med_monai.data.slice_shards import SliceShardDataset, WindowChoice
from lvm_med_monai.data.unknown import UNKNOWN, is_known


def read_named_labels(
    dataset_dir: str | Path, section: str, required: bool = False, name: str = "dataset.json"
) -> list[dict[str, Any]]:
    """Images of one section of a MONAI datalist, their labels and patients as numbers.

    A datalist is ``{"training": [{"image": "a.png", "label": "axial T1", "patient": "7"}], ...}`` with paths relative
    to its folder. A label is a name or a number; equal ones have equal numbers in all sections. Both may be left out,
    be null or be empty.

    Args:
        dataset_dir: folder of the datalist.
        section: key of the list to read.
        required: whether every image needs a label, and some label two images, as training does.
        name: file name of the datalist.

    Returns:
        Items with ``image``, an absolute path, ``name``, the path as the datalist has it, ``slice_id``, the same, and
        ``label``: the numbers of label and patient, `UNKNOWN` where there is none.

    Raises:
        FileNotFoundError: the datalist or an image is absent.
        ValueError: the section is absent or empty, labels are required and missing or all different, or an image is no
            single picture.
    """
    root = Path(dataset_dir)
    sections = read_sections(root, section, name)
    everything = [entry for part in sections.values() for entry in part if isinstance(entry, dict)]
    numbers = {key: _numbers(entry.get(key) for entry in everything) for key in ("label", "patient")}
    items: list[dict[str, Any]] = []
    for entry in sections[section]:
        image = entry.get("image")
        if not isinstance(image, str):
            raise ValueError(f'{name}, {section}: {entry} has no path under "image"; several images need entries each')
        check_picture(root / image)
        known = [_number(numbers[key], entry.get(key)) for key in numbers]
        items.append({"image": str((root / image).absolute()), "name": image, "slice_id": image, "label": known})
    if required:
        check_repeats([item["label"][0] for item in items], f"{name}, {section}")
    return items


class NumberedSlices(Sequence[dict[str, Any]]):
    """Extracted slices whose label is a field of the manifest, such as ``modality``, ``dataset`` or ``patient_h``.

    An item has ``image`` (C, H, W), windowed to [0, 1], ``slice_id``, ``name``, the same, and ``label``: the numbers of
    label and patient. Values of a field have the same number whatever is chosen by ``where``.

    Args:
        root: folder of shards.
        where: which slices to keep, see `SliceShardDataset`.
        field: manifest field that is the label; None for none.
        by_patient: whether patients are known apart; False if the label is the patient.
        required: whether some label needs two slices, as training does.
        window: see `SliceShardDataset`.

    Raises:
        FileNotFoundError: ``root`` holds no manifest.
        ValueError: an unknown field, no slices, or labels that are required and all different.
    """

    def __init__(
        self,
        root: str | Path,
        where: Mapping[str, Collection[Any]] | None = None,
        field: str | None = None,
        by_patient: bool = True,
        required: bool = False,
        window: WindowChoice = None,
    ) -> None:
        self.slices = SliceShardDataset(root, where, window=window)
        labels = self._numbered(root, field)
        self.numbers = list(zip(labels, self._numbered(root, "patient_h" if by_patient else None), strict=True))
        if required:
            check_repeats(labels, f"manifest of {Path(root).name}")

    def _numbered(self, root: str | Path, field: str | None) -> list[int]:
        if field is None:
            return [UNKNOWN] * len(self.slices)
        whole = SliceShardDataset(root)
        if field not in whole.rows.fields:
            raise ValueError(f"the manifest of {Path(root).name} has no field {field!r}: see docs/slices.md")
        numbers = _numbers(whole.rows.column(field))
        return [_number(numbers, value) for value in self.slices.rows.column(field)]

    def __len__(self) -> int:
        """Number of slices."""
        return len(self.slices)

    def __getitem__(self, index: Any) -> Any:
        """An item; a list of them for a run of indices."""
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        row = self.slices[index]
        name = row["slice_id"]
        return {"image": row["image"], "slice_id": name, "name": name, "label": list(self.numbers[index])}


def check_repeats(labels: Sequence[int], where: str) -> None:
    """Make sure that images can be told to be alike and to differ.

    Raises:
        ValueError: a label is missing, no label has two images, or there is one label only.
    """
    counts = Counter(labels)
    if counts[UNKNOWN]:
        raise ValueError(
            f"{where}: {counts[UNKNOWN]} images have no label, which training needs: label them, or leave out"
        )
    if len(counts) < 2 or max(counts.values()) < 2:
        raise ValueError(
            f"{where}: {len(labels)} images have {len(counts)} labels: training needs two, and two images of one"
        )


def _numbers(values: Any) -> dict[str, int]:
    """Number of each known value by its text, in the order of the texts."""
    return {text: number for number, text in enumerate(sorted({str(value) for value in values if is_known(value)}))}


def _number(numbers: Mapping[str, int], value: Any) -> int:
    return numbers[str(value)] if is_known(value) else UNKNOWN
