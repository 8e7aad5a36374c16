"""Training slices without those that an evaluation needs unseen."""

from __future__ import annotations

import csv
import logging
import os
from pathlib import Path
from typing import Any

from lvm_med_monai.data.manifest_rows import ManifestRows
from lvm_med_monai.data.slice_shards import SliceShardDataset
from lvm_med_monai.data.unknown import is_known
from lvm_med_monai.slices import Window
from lvm_med_monai.whole_file import whole_file

LISTED = ("slice_id", "source_h", "patient_h", "dataset")
"""Manifest fields of a published list: hashes and the name that the user gave, no identifiers."""
_PATIENT = "patient_h"
_logger = logging.getLogger(__name__)


class ExcludingSliceDataset(SliceShardDataset):
    """Slices of a folder without those that a list names.

    The list is a text file of one value a line, or a CSV file with a column named as the field, such as the one that
    ``write_slice_list`` writes. All slices that have a listed value are left out: by ``patient_h``, a listed image
    takes the patient's other images with it.

    Args:
        root: folder of shards and manifest.
        exclude: file of values to leave out; None leaves out nothing.
        field: manifest field that the values belong to.
        **settings: further arguments of ``SliceShardDataset``.

    Attributes:
        excluded: number of slices left out.

    Raises:
        FileNotFoundError: no file at ``exclude``.
        ValueError: no value of the list occurs in the manifest, so nothing would be excluded; or nothing is left.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        exclude: str | Path | None = None,
        field: str = "slice_id",
        **settings: Any,
    ) -> None:
        super().__init__(root, **settings)
        self.excluded = 0
        if exclude is None:
            return
        unwanted = read_slice_list(exclude, field)
        if not unwanted & set(ManifestRows.read(self.location).column(field)):
            raise ValueError(
                f"none of the {len(unwanted)} values in {Path(exclude).name} is a {field} of {self.location.name}: "
                "nothing would be excluded; give values of that field, or name theirs"
            )
        kept = set(self.rows.column(field)) - unwanted
        if not kept:
            raise ValueError(f"{Path(exclude).name} excludes all {len(self)} slices of {self.location.name}")
        rows = self.rows.where({field: kept})
        self.excluded = len(self.rows) - len(rows)
        self.rows = rows
        _logger.info("%s excludes %d slices, %d are left", Path(exclude).name, self.excluded, len(rows))


def read_slice_list(path: str | Path, field: str) -> set[str]:
    """Values of a list: the column of a CSV file that has it, or the lines of a text file.

    Raises:
        FileNotFoundError: no file at ``path``.
        ValueError: the list is empty, or has columns but not this one.
    """
    path = Path(path)
    lines = _lines(path, field)
    if lines and _has_header(lines, field):
        rows = csv.DictReader(lines)
        if field not in (columns := list(rows.fieldnames or [])):
            raise ValueError(f"{path.name} has columns {', '.join(columns)} but no {field}")
        lines = [row[field] for row in rows if is_known(row[field])]
    if not lines:
        raise ValueError(f"{path.name} lists no {field}")
    return set(lines)


def write_slice_list(dataset: SliceShardDataset, path: str | Path) -> None:
    """Write what a data set consists of, as a CSV file of ``slice_id``, ``source_h``, ``patient_h`` and ``dataset``."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(LISTED)
        writer.writerows(dataset.groups(*LISTED))


def check_unseen(dataset: SliceShardDataset, path: str | Path, fields: tuple[str, ...] = LISTED[:3]) -> None:
    """Make sure that no slice, file or patient of an evaluation was trained on.

    Args:
        dataset: slices of the evaluation.
        path: list of the training, of ``write_slice_list``.
        fields: manifest fields that must differ. Values that are not known do not count, and of ``patient_h`` the list
            may hold none.

    Raises:
        FileNotFoundError: no list at ``path``.
        ValueError: a value occurs in both, or the list has nothing to compare by.
    """
    path = Path(path)
    seen_of = {field: seen for field in fields if (seen := _seen(path, field))}
    if not seen_of:
        raise ValueError(f"{path.name} has none of {', '.join(fields)} to compare by: give the list of the training")
    for field, seen in seen_of.items():
        common = [value for value in dataset.rows.column(field) if is_known(value) and value in seen]
        if common:
            raise ValueError(
                f"{len(common)} of {len(dataset)} slices of the evaluation share a {field} with {path.name}, "
                "which was trained on: put them into exclude and train anew, or evaluate on others"
            )


def _seen(path: Path, field: str) -> set[str]:
    """Values that were trained on; of patients there may be none, since not all data name them."""
    if not _has_header(_lines(path, field), field):
        raise ValueError(f"{path.name} does not say what its values are: give the list that the training wrote")
    try:
        return read_slice_list(path, field)
    except ValueError:
        if field != _PATIENT:
            raise
        return set()


def _lines(path: Path, field: str) -> list[str]:
    if not path.is_file():
        raise FileNotFoundError(f"no list of slices at {path}: give a file of one {field} a line, or null")
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _has_header(lines: list[str], field: str) -> bool:
    """Whether the first line names columns; an empty list might."""
    return not lines or "," in lines[0] or lines[0] in (*LISTED, field)


def whole_range(row: Any) -> Window:
    """Window from the lowest to the highest value that a slice's pixels can store, so that nothing is clipped."""
    top = 255 if row["dtype"] == "uint8" else 65535
    return Window(row["intercept"], row["intercept"] + row["scale"] * top)
