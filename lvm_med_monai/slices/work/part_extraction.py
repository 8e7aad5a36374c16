"""Extraction of one part into a folder of its own, which appears when it is finished."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from lvm_med_monai.slices.identity import Identities
from lvm_med_monai.slices.inputs.archives import Spooled, spool
from lvm_med_monai.slices.inputs.detect import ARCHIVE_KINDS
from lvm_med_monai.slices.inputs.walk import stacks_of_files, stacks_of_spooled
from lvm_med_monai.slices.stack import Reason, Reject, Stack
from lvm_med_monai.slices.store.manifest import FILES, MANIFEST
from lvm_med_monai.slices.store.shards import ShardWriter
from lvm_med_monai.slices.work.part_tables import TableBuilder
from lvm_med_monai.slices.work.settings import Settings
from lvm_med_monai.slices.work.slice_rows import SliceRows
from lvm_med_monai.slices.work.source_extraction import SourceExtraction
from lvm_med_monai.slices.work.units import REJECTED, Part, PlannedFile, Unit

PARTS = "parts"
"""Folder of the finished parts inside the output."""
SETTINGS = "settings.json"
"""What a part was made with (fingerprints of settings and key), and what was dropped; no names or paths."""

STALE = "a file has changed since the plan was made; run `scan` again, then the same command"

Left = tuple[Reason, str]
"""Why a unit is left out: crashed, timeout or memory, and one sentence."""


class StalePlanError(ValueError):
    """A file is not as the plan says."""


@dataclass(frozen=True)
class Job:
    """A part, and what a process needs to extract it.

    Attributes:
        part: the part.
        out: output folder.
        folder: name of the part's folder.
        source_h: keyed hash of the source, with which ``folder`` begins.
        parts: number of parts of the source.
        settings: what to keep and how to store it.
        key_file: secret key of the identities; the key itself is not sent around.
        fingerprint: of settings and files.
        limits: what a unit may use, written down; a part whose units failed is done again under other limits.
        left_out: number of a unit -> why it is left out.
    """

    part: Part
    out: Path
    folder: str
    source_h: str
    parts: int
    settings: Settings
    key_file: Path
    fingerprint: str
    limits: str = ""
    left_out: dict[int, Left] = field(default_factory=dict)

    def without(self, unit: int, left: Left) -> Job:
        """The job with one more unit left out."""
        return replace(self, left_out={**self.left_out, unit: left})


@dataclass(frozen=True)
class Events:
    """What a running part tells: the number of each unit that begins, and each slice that is written."""

    on_unit: Callable[[int], object] = lambda number: None
    on_slice: Callable[[], object] = lambda: None


Work = Callable[["Job", "Events"], None]
"""What is done with a part; to be sent to other processes, it is a function of a module, or a partial of one."""
UnitReader = Callable[[Unit, Path, Path], "tuple[list[Path], Iterator[Stack | Reject]]"]
"""(unit, root of the source, private folder) -> files to account for, and their stacks and rejects."""


def extract_part(job: Job, events: Events, read_unit: UnitReader | None = None) -> None:
    """Extract a part. It appears in the output as a whole, or not at all.

    Args:
        job: what to do. A part of this name that is there is replaced.
        events: told of progress.
        read_unit: opens the files of a unit; `open_unit` if None.

    Raises:
        StalePlanError: a file has changed since the plan was made.
        Exception: whatever reading or writing raises; nothing is left behind.
    """
    parts = job.out / PARTS
    partial = Path(tempfile.mkdtemp(prefix=f".{job.folder}.", suffix=".partial", dir=parts))
    try:
        _fill(job, partial, events, read_unit or open_unit)
        partial.chmod(0o777 & ~_umask())
        _move(partial, parts / job.folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _fill(job: Job, partial: Path, events: Events, read_unit: UnitReader) -> None:
    key = job.key_file.read_bytes()
    identities, tables = Identities(key), TableBuilder()
    root = job.part.source.path
    with ShardWriter(partial, "slices", job.settings.storage.codec) as shards:
        rows = SliceRows(job.part.source, identities, job.settings.splits)
        folder = f"{PARTS}/{job.folder}"
        work = SourceExtraction(rows, job.settings, shards, folder, tables.add, events.on_slice)
        for number, unit in enumerate(job.part.units):
            events.on_unit(number)
            work.begin(unit.key)
            if number in job.left_out:
                inputs = [root / file.path for file in unit.files]
                for path in inputs:
                    work.reject(path, *job.left_out[number])
            else:
                with private_folder(partial) as private:
                    inputs, items = read_unit(unit, root, private)
                    _add_all(work, items)
            work.finish(inputs)
    tables.write(partial)
    record = {
        "fingerprint": job.fingerprint,
        "key": identities.hash("key"),
        "source": job.source_h,
        "part": job.part.index,
        "parts": job.parts,
        "files": tables.counts[FILES],
        "rejected": dict(sorted(work.rejected.items())),
        "slices": tables.counts[MANIFEST],
        "dropped": dict(sorted(work.dropped.items())),
        "limits": job.limits if job.left_out else "",
        "left_out": sorted(left[0] for left in job.left_out.values()),
        "patients_unmatched": len(rows.unmatched),
    }
    write_json(partial / SETTINGS, record)


def _add_all(work: SourceExtraction, items: Iterator[Stack | Reject]) -> None:
    for item in items:
        if isinstance(item, Stack):
            work.add(item)
        else:
            work.reject(item.path, item.reason, item.detail)


def open_unit(unit: Unit, root: Path, private: Path) -> tuple[list[Path], Iterator[Stack | Reject]]:
    """Files of a unit to account for, and its stacks and rejects.

    Args:
        unit: the unit.
        root: path of its source.
        private: empty folder for the members of an archive.

    Raises:
        StalePlanError: a file has changed since the plan was made.
    """
    paths = [root / file.path for file in unit.files]
    if unit.kind == REJECTED:
        rejects = (Reject(p, cast(Reason, f.reason), f.detail) for p, f in zip(paths, unit.files, strict=True))
        return paths, rejects
    for path, file in zip(paths, unit.files, strict=True):
        _check_unchanged(path, file)
    if unit.kind in ARCHIVE_KINDS:
        spooled = spool(paths[0], unit.kind, private)
        if isinstance(spooled, Spooled):
            return spooled.inputs, stacks_of_spooled(spooled)
        return paths, iter([spooled])
    return paths, _suspected(
        stacks_of_files(paths), {p.parent for p, f in zip(paths, unit.files, strict=True) if f.suspect}
    )


def _suspected(items: Iterator[Stack | Reject], folders: set[Path]) -> Iterator[Stack | Reject]:
    for item in items:
        if isinstance(item, Stack) and item.source_format == "dicom" and {p.parent for p in item.sources} & folders:
            item = replace(item, flags=item.flags | {"missing"})
        yield item


def _check_unchanged(path: Path, file: PlannedFile) -> None:
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise StalePlanError(STALE) from error
    if (status.st_size, status.st_mtime_ns) != (file.size, file.mtime_ns):
        raise StalePlanError(STALE)


@contextmanager
def private_folder(parent: Path) -> Iterator[Path]:
    """A folder for the members of an archive, removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix=".members.", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _move(partial: Path, part: Path) -> None:
    if part.exists():
        shutil.rmtree(part)
    os.replace(partial, part)


def _umask() -> int:
    value = os.umask(0o077)
    os.umask(value)
    return value


def read_settings(part: Path) -> dict[str, Any]:
    """Record of a finished part; empty if it is not finished."""
    path = part / SETTINGS
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a small file as a whole."""
    temporary = path.with_name(f".{path.name.lstrip('.')}.{os.getpid()}")
    temporary.write_text(json.dumps(content, sort_keys=True), encoding="utf-8")
    os.replace(temporary, path)
