"""Labels of images out of tables, into a datalist that holds images only."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from lvm_med_monai.data.sections import check_entries, read_content, sections_in
from lvm_med_monai.whole_file import whole_file

Label = int | str | list[int]
_VALUES = {"": 0, "0": 0, "1": 1, "-1": -1}


def add_labels(
    datalist: str | Path,
    tables: Sequence[str | Path],
    image_column: str | int,
    label_columns: Sequence[str] | Sequence[int],
) -> int:
    """Write the labels of comma-separated tables into a datalist, in place.

    A row belongs to an entry if the last parts of one's path are the other's path, suffixes aside: the row
    ``CheXpert-v1.0/train/patient1/view1.jpg`` to ``train/patient1/view1.jpg``, the row ``00436515`` to
    ``images/00436515.dcm``. With one column a label is its number, or else its text, the name of a class; with several
    it is a list of 1, 0, and -1 for uncertain, an empty field being 0. Rows of one image must agree, as those of its
    boxes do.

    Args:
        datalist: ``dataset.json`` whose entries have ``image``.
        tables: files of comma-separated values.
        image_column: column that names an image: its name in the header, or for tables without a header its number,
            from 0.
        label_columns: columns of the labels, in the order of the classes, in the same way.

    Returns:
        Number of entries that were labelled, which is all of them.

    Raises:
        FileNotFoundError: there is no datalist.
        ValueError: a table lacks a column, holds another value, has a row of another length, or contradicts itself; an
            image has no row, or rows of several images; or the datalist is not of the form of one.
    """
    path = Path(datalist)
    content = read_content(path)
    entries = _entries(content, path.name)
    labels = _labels(tables, image_column, label_columns)
    by_name: dict[str, list[tuple[str, ...]]] = {}
    for parts in labels:
        by_name.setdefault(parts[-1], []).append(parts)
    for entry in entries:
        parts = _parts(entry["image"])
        found = [other for other in by_name.get(parts[-1], []) if _agree(parts, other)]
        if len(found) != 1:
            raise ValueError(
                f"{entry['image']} has {len(found)} rows in the column {image_column}, expected one image's"
            )
        entry["label"] = labels[found[0]]
    with whole_file(path) as partial:
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return len(entries)


def _entries(content: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Entries of all sections of a datalist, each with its image."""
    for section, entries in sections_in(content).items():
        check_entries(entries, section, name)
        for number, entry in enumerate(entries):
            if not isinstance(entry.get("image"), str):
                raise ValueError(f'entry {number} of section {section!r} of {name} has no path under "image"')
    return [entry for entries in sections_in(content).values() for entry in entries]


def _labels(
    tables: Sequence[str | Path], image_column: str | int, label_columns: Sequence[str] | Sequence[int]
) -> dict[tuple[str, ...], Label]:
    """Label of each image of the tables, by the parts of its path."""
    labels: dict[tuple[str, ...], Label] = {}
    for table in map(Path, tables):
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = list(filter(None, csv.reader(file)))
        if not rows:
            raise ValueError(f"{table.name} is empty: give the table of the labels")
        header: list[str] | list[int] = list(range(len(rows[0]))) if isinstance(image_column, int) else rows.pop(0)
        places = {column: place for place, column in enumerate(header)}
        missing = [str(column) for column in (image_column, *label_columns) if column not in places]
        if missing:
            raise ValueError(f"{table.name} has no column {', '.join(missing)}: it has {header}")
        for row in rows:
            if len(row) != len(header):
                raise ValueError(f"{table.name} has the row {row} of {len(row)} fields, but {len(header)} columns")
            texts = [row[places[column]].strip() for column in label_columns]
            label = _class(texts[0]) if len(texts) == 1 else [_finding(text, table.name) for text in texts]
            image = row[places[image_column]]
            if labels.setdefault(_parts(image), label) != label:
                raise ValueError(f"{table.name} labels {image} in two ways: keep one row of it")
    return labels


def _class(text: str) -> int | str:
    """Number of a class, or its name."""
    return int(text) if text.removeprefix("-").isdecimal() else text


def _finding(text: str, table: str) -> int:
    number = text.removesuffix(".0")
    if number not in _VALUES:
        raise ValueError(f"{table} holds {text!r} for a finding: expected 1, 0, -1 for uncertain, or nothing")
    return _VALUES[number]


def _parts(image: str) -> tuple[str, ...]:
    """Parts of a path, the suffix of a picture or DICOM file left out."""
    path = PurePosixPath(image.replace("\\", "/"))
    known = path.suffix.lower() in (".jpg", ".jpeg", ".png", ".dcm", ".tif", ".tiff")
    return path.with_suffix("").parts if known else path.parts


def _agree(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether the shorter path is the end of the longer one."""
    shared = min(len(one), len(other))
    return one[-shared:] == other[-shared:]
