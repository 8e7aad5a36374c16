"""The official lists of what LVM-Med was pretrained on, as an index of names."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lvm_med_monai.lists.names import parts_of, patient_in, variants

LISTS = "lvm-med-training-data"
"""Folder of the lists in the LVM-Med repository."""
DICOM_DEPTH = 4
"""Patient, study, series and file: paths of this depth begin with a patient."""
NAMELESS = ("camelyonpatch_level", "default split")
"""How lists begin that name an archive or a split instead of samples."""


@dataclass(frozen=True, slots=True)
class Seen:
    """An entry of an official list.

    Attributes:
        folder: of the list.
        entry: the line.
        kind: how its key was made: path, name, patient, or one of `names.variants`.
    """

    folder: str
    entry: str
    kind: str


@dataclass(frozen=True)
class Official:
    """All lists.

    Attributes:
        entries: key -> entries; a key is a name, or the parts of a path joined by ``/``.
        counts: folder -> number of names.
        nameless: folders whose list names no samples, so that nobody can tell what of them was seen.
        depths: how many parts the entries have.
    """

    entries: Mapping[str, list[Seen]]
    counts: Mapping[str, int]
    nameless: tuple[str, ...]
    depths: tuple[int, ...]


def read_official(clone: Path) -> Official:
    """Read the lists of a clone of the LVM-Med repository.

    Args:
        clone: the clone, or its folder ``lvm-med-training-data``.

    Raises:
        FileNotFoundError: it holds no lists.
    """
    root = clone / LISTS if (clone / LISTS).is_dir() else clone
    files = sorted(root.glob("*/file_list.txt*"))
    if not files:
        raise FileNotFoundError(
            f"{clone} holds no {LISTS}/*/file_list.txt; give a clone of https://github.com/duyhominhnguyen/LVM-Med"
        )
    return index_names({file.parent.name: list(_lines(file)) for file in files})


def index_names(lists: Mapping[str, Iterable[str]]) -> Official:
    """Index of lists of names.

    Args:
        lists: name of the list -> its lines.
    """
    entries: dict[str, list[Seen]] = defaultdict(list)
    counts: dict[str, int] = {}
    depths: set[int] = set()
    nameless = []
    for folder, given in lists.items():
        lines = list(dict.fromkeys(given))
        if not lines or all(line.lower().startswith(NAMELESS) for line in lines):
            nameless.append(folder)
            continue
        samples = _samples(lines)
        names = Counter(parts[-1] for parts in samples.values())
        counts[folder] = len(samples)
        for line, parts in samples.items():
            depths.add(len(parts))
            for key, kind in dict(_keys(parts, names[parts[-1]] > 1)).items():
                others = entries[key]
                if not any(other.folder == folder and other.kind == kind for other in others):
                    others.append(Seen(folder, line, kind))
    return Official(dict(entries), counts, tuple(nameless), tuple(sorted(depths)))


def _samples(lines: list[str]) -> dict[str, list[str]]:
    """Parts of the entries; a line that is merely the folder of others is none."""
    parts = {line: parts_of(line) for line in lines}
    folders = {entry[0] for entry in parts.values() if len(entry) > 1}
    return {line: entry for line, entry in parts.items() if len(entry) > 1 or entry[0] not in folders}


def _lines(file: Path) -> Iterator[str]:
    with file.open(encoding="utf-8", errors="surrogateescape") as lines:
        yield from (line.strip() for line in lines if line.strip())


def _keys(parts: list[str], repeated: bool) -> Iterator[tuple[str, str]]:
    """Keys of an entry, each with its kind; the last of equal keys counts.

    A name that is repeated in the list, as ``imaging.nii.gz`` in each case, says nothing: the folder does.
    """
    name = parts[-1]
    if len(parts) >= DICOM_DEPTH:
        yield parts[0], "patient"
        yield "/".join(parts), "path"
        return
    if len(parts) > 1 and repeated:
        yield parts[-2], "case"
        yield "/".join(parts), "path"
        return
    if patient := patient_in(name):
        yield patient, "patient"
    yield from variants(name)
    if len(parts) > 1:
        yield name, "name"
        yield "/".join(parts), "path"
    else:
        yield name, "name"
