"""Finished parts -> the three tables of the output."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lvm_med_monai.slices.store.manifest import TABLES
from lvm_med_monai.slices.work.lock import LOCK, locked
from lvm_med_monai.slices.work.part_extraction import PARTS, read_settings, write_json
from lvm_med_monai.slices.work.part_tables import read_part, write_merged

MAX_NAMED = 8
"""Missing parts that an error names."""
NO_PARTS = "{out} holds no parts; run `python -m lvm_med_monai.slices extract SRC -o {out}` first"


@dataclass(frozen=True)
class Summary:
    """What an extraction did.

    Attributes:
        files_in: input files.
        files_in_manifest: of them, those that gave at least one slice.
        files_in_rejects: of them, those that gave none.
        slices: rows of the manifest.
        sources_done: sources of which this call processed a part.
        sources_skipped: sources whose parts an earlier call had finished with the same settings.
        parts_done: parts processed by this call.
        parts_skipped: parts that an earlier call had finished.
        units_failed: series and files that crashed, ran out of time or of memory, and were left out.
        patients_unmatched: files without PatientID in which the ``patient`` expression of their source was not found.
        rejected: reason -> files.
        dropped: reason -> tiles or slices that the policy left out.
    """

    files_in: int
    files_in_manifest: int
    files_in_rejects: int
    slices: int
    sources_done: int = 0
    sources_skipped: int = 0
    parts_done: int = 0
    parts_skipped: int = 0
    units_failed: int = 0
    patients_unmatched: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)


def part_name(source_h: str, index: int) -> str:
    """Name of the folder of a part."""
    return f"{source_h}-{index:05d}"


def source_file(out: Path, source_h: str) -> Path:
    """File that says which parts a source must have; it holds hashes only."""
    return out / PARTS / f"{source_h}.json"


def declare_source(out: Path, source_h: str, key: str, fingerprints: list[str]) -> None:
    """Write down the parts that a source must have."""
    write_json(source_file(out, source_h), {"key": key, "fingerprints": fingerprints})


def sources_of(out: Path) -> dict[str, dict[str, Any]]:
    """Source hash -> what `declare_source` wrote, in the order of hashes."""
    files = sorted(path for path in (out / PARTS).glob("*.json") if not path.name.startswith("."))
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in files}


def is_finished(out: Path, folder: str, fingerprint: str) -> bool:
    """Whether a part is there and was made from these files with these settings."""
    return read_settings(out / PARTS / folder).get("fingerprint") == fingerprint


def missing_parts(out: Path) -> list[str]:
    """Names of the parts that are not finished."""
    return [
        part_name(source_h, index)
        for source_h, record in sources_of(out).items()
        for index, fingerprint in enumerate(record["fingerprints"])
        if not is_finished(out, part_name(source_h, index), fingerprint)
    ]


def merge(out: str | os.PathLike[str]) -> Summary:
    """Put the tables of all parts together, in the order of source and part, after several ranks have extracted them.

    `extract` does this itself when it is alone.

    Args:
        out: output of `extract`, by any number of processes.

    Returns:
        Totals over all of ``out``.

    Raises:
        FileNotFoundError: no extraction was begun there.
        ValueError: parts are missing, and the error names them; or an extraction is still at work.
    """
    out = Path(out)
    if not (out / PARTS).is_dir():
        raise FileNotFoundError(NO_PARTS.format(out=out))
    with locked(out / PARTS):
        return merge_locked(out)


def merge_locked(out: Path) -> Summary:
    """What `merge` does, for who holds the lock of the output."""
    sources = sources_of(out)
    if not sources:
        raise FileNotFoundError(
            f"{out} holds no parts; run `python -m lvm_med_monai.slices extract SRC -o {out}` first"
        )
    if missing := missing_parts(out):
        named = ", ".join(missing[:MAX_NAMED]) + (
            f" and {len(missing) - MAX_NAMED} more" if missing[MAX_NAMED:] else ""
        )
        total = sum(len(record["fingerprints"]) for record in sources.values())
        raise ValueError(
            f"{len(missing)} of {total} parts are missing: {named}; run the same `extract` command again with "
            "--rank 0 --world-size 1, or with the ranks that did not finish, and then merge"
        )
    parts = [part_name(source_h, i) for source_h, record in sources.items() for i in range(len(record["fingerprints"]))]
    _clear_strangers(out, set(parts))
    for name in TABLES:
        write_merged(out, name, (read_part(out / PARTS / part, name) for part in parts))
    return count_parts(out, parts)


def remove_tables(out: Path) -> None:
    """Take the tables away, because parts that they refer to are about to change."""
    for name in reversed(TABLES):
        (out / name).unlink(missing_ok=True)


def count_parts(out: Path, parts: Iterable[str]) -> Summary:
    """Totals of some finished parts."""
    records = [read_settings(out / PARTS / part) for part in parts]
    rejected, dropped = Counter[str](), Counter[str]()
    for record in records:
        rejected.update(record["rejected"])
        dropped.update(record["dropped"])
    files = sum(record["files"] for record in records)
    return Summary(
        files_in=files,
        files_in_manifest=files - rejected.total(),
        files_in_rejects=rejected.total(),
        slices=sum(record["slices"] for record in records),
        units_failed=sum(len(record["left_out"]) for record in records),
        patients_unmatched=sum(record["patients_unmatched"] for record in records),
        rejected=dict(sorted(rejected.items())),
        dropped=dict(sorted(dropped.items())),
    )


def _clear_strangers(out: Path, parts: set[str]) -> None:
    """Remove what interrupted runs and other plans have left behind."""
    for path in (out / PARTS).iterdir():
        if path.is_dir() and path.name not in parts:
            shutil.rmtree(path, ignore_errors=True)
        elif path.name.startswith(".") and path.name != LOCK:
            path.unlink(missing_ok=True)
