"""Units of work: the files that must be read together, and that a crash would cost together."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace

from lvm_med_monai.slices.dicom.twins import PRESENTATION, PROCESSING
from lvm_med_monai.slices.inputs.inspection import REJECTED, Inspected, folder_of, inspect_all
from lvm_med_monai.slices.inputs.walk import walk_files
from lvm_med_monai.slices.source import Source

TWIN = "the unprocessed twin of an image that is there for presentation"
MIN_PART_BYTES, MAX_PART_BYTES = 8 << 20, 256 << 20
"""Bounds of a part: a small one costs little when it is done again, few of them cost little in bookkeeping."""
PARTS_OF_A_SOURCE = 64
"""Parts that a source is cut into, between the bounds."""
FILE_BYTES = 32 << 10
"""What a file counts at least: opening it and its rows cost as much as reading this."""


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """An input file as it was found.

    Attributes:
        path: below the source, with forward slashes; "." if the source is the file.
        size: bytes.
        mtime_ns: time of its last change.
        suspect: a damaged DICOM file lies in its folder, which may be a missing slice of its series.
        reason: why it is rejected; empty if it is to be read.
        detail: of the reject.
    """

    path: str
    size: int
    mtime_ns: int
    suspect: bool = False
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Unit:
    """Files that are read together: a DICOM series, a volume with its companions, a picture, an archive.

    Attributes:
        kind: of its first file, see `detect.Kind`, or `REJECTED`.
        key: what tells it from the other units of its source, independent of them. It may name a patient.
        files: in the order of their paths.
    """

    kind: str
    key: str
    files: tuple[PlannedFile, ...]

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True)
class Part:
    """Consecutive units of one source, which are extracted together into a folder of their own.

    Attributes:
        source: the source.
        index: number of the part in its source, from 0.
        units: in order.
    """

    source: Source
    index: int
    units: tuple[Unit, ...]

    @property
    def size(self) -> int:
        """Bytes of its units."""
        return sum(unit.size for unit in self.units)

    @property
    def digest(self) -> str:
        """SHA-256 over the names, sizes, times and grouping of its files."""
        digest = hashlib.sha256()
        for unit in self.units:
            files = [(f.path, f.size, f.mtime_ns, f.suspect, f.reason, f.detail) for f in unit.files]
            digest.update(json.dumps([unit.kind, unit.key, files]).encode())
        return digest.hexdigest()


def list_units(source: Source, workers: int = 0) -> Iterator[tuple[int, Unit]]:
    """Units of a source in the order of their first files, each with the number of its part.

    DICOM headers are read by Python code, of other files the first bytes, and the text headers that name pixel files;
    no native library touches a file. Files that no reader takes become units of kind `REJECTED`.

    Parts are cut by the sizes of files alone. Their size is a power of two, so that a few new files at the end of a
    source leave its other parts as they are.

    Args:
        source: the source.
        workers: processes that read headers; 0 reads them in this one.

    Raises:
        FileNotFoundError: the source does not exist.
        ValueError: it is a folder without files.
    """
    listing = _Listing()
    for found in inspect_all(source.path, walk_files(source.path), workers):
        listing.add(found)
    if not listing.entries:
        raise ValueError(f"{source.path} holds no files; give a folder with DICOM, NIfTI, MetaImage or picture files")
    aim = part_bytes(sum(max(entry.size, FILE_BYTES) for entry in listing.entries))
    part, filled = 0, 0
    for unit in listing.units():
        cost = sum(max(file.size, FILE_BYTES) for file in unit.files)
        if filled and filled + cost > aim:
            part, filled = part + 1, 0
        filled += cost
        yield part, unit


def part_bytes(total: int) -> int:
    """Bytes at which a part of a source of ``total`` bytes is closed."""
    aim = 1 << max(0, total // PARTS_OF_A_SOURCE - 1).bit_length()
    return min(max(aim, MIN_PART_BYTES), MAX_PART_BYTES)


class _Listing:
    """Collects the files of one source, and sorts them into units when all are known."""

    def __init__(self) -> None:
        self.entries: list[Inspected] = []
        self._damaged: set[str] = set()
        self._owners: dict[str, str] = {}
        self._shown: set[tuple[str, ...]] = set()
        self._shared: dict[str, str] = {}

    def add(self, found: Inspected) -> None:
        """Take a file."""
        if found.damaged:
            self._damaged.add(folder_of(found.path))
        for companion in found.companions:
            self._owners.setdefault(companion, found.key)
        if found.intent == PRESENTATION:
            self._shown.add(found.examination)
        # One copy of what the files of a series have in common keeps a million of them small.
        common = self._shared.setdefault
        self.entries.append(
            replace(
                found,
                kind=common(found.kind, found.kind),
                key=common(found.key, found.key),
                reason=common(found.reason, found.reason),
                detail=common(found.detail, found.detail),
                companions=(),
                examination=found.examination if found.intent == PROCESSING else (),
            )
        )

    def units(self) -> Iterator[Unit]:
        """Units in the order of their first files."""
        members: dict[tuple[bool, str], list[Inspected]] = defaultdict(list)
        for entry in self.entries:
            found = self._settled(entry)
            key = f"file {found.path}" if found.reason else found.key
            members[bool(found.reason), key].append(found)
        for files in members.values():
            files.sort(key=lambda file: file.path)
        for (rejected, key), files in sorted(members.items(), key=lambda item: item[1][0].path):
            kind = REJECTED if rejected else next(file.kind for file in files if file.kind != "unknown")
            yield Unit(kind, key, tuple(self._planned(file) for file in files))

    def _settled(self, entry: Inspected) -> Inspected:
        """The file, with what follows from the others: whether a header needs it, or it has a twin."""
        if entry.kind == "unknown" and entry.path in self._owners:
            return replace(entry, key=self._owners[entry.path], reason="", detail="")
        if entry.intent == PROCESSING and entry.examination in self._shown:
            return replace(entry, reason="for_processing", detail=TWIN)
        return entry

    def _planned(self, file: Inspected) -> PlannedFile:
        suspect = not file.reason and folder_of(file.path) in self._damaged
        return PlannedFile(file.path, file.size, file.mtime_ns, suspect, file.reason, file.detail)
