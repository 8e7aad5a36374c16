"""Checking an extracted folder: every byte, every count."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lvm_med_monai.slices.extraction import count
from lvm_med_monai.slices.manifest import FILES, MANIFEST, REJECTS, read_table
from lvm_med_monai.slices.shards import pixel_digest, read_stored

MAX_PROBLEMS = 20
"""Problems that are spelt out; the rest is counted."""


@dataclass(frozen=True)
class Verification:
    """Result of `verify`.

    Attributes:
        files_in: input files.
        files_in_manifest: files that gave slices.
        files_in_rejects: files that gave none.
        slices: rows of the manifest.
        ok: nothing was found.
        problems: one sentence each, the first `MAX_PROBLEMS`.
    """

    files_in: int
    files_in_manifest: int
    files_in_rejects: int
    slices: int
    ok: bool
    problems: tuple[str, ...]


def verify(out: str | os.PathLike[str]) -> Verification:
    """Read every slice and hash it again, close the accounts of files, and look for patients in two splits.

    Args:
        out: folder that `extract` wrote.

    Returns:
        The counts and whatever is wrong.

    Raises:
        FileNotFoundError: the folder was not written by `extract`.
    """
    out = Path(out)
    totals = count(out)
    slices = read_table(out, MANIFEST).to_pylist()
    problems = _pixel_problems(out, slices) + _file_problems(out, slices) + _split_problems(slices)
    if len(problems) > MAX_PROBLEMS:
        problems = [*problems[:MAX_PROBLEMS], f"and {len(problems) - MAX_PROBLEMS} more"]
    return Verification(
        files_in=totals.files_in,
        files_in_manifest=totals.files_in_manifest,
        files_in_rejects=totals.files_in_rejects,
        slices=totals.slices,
        ok=not problems,
        problems=tuple(problems),
    )


def _pixel_problems(out: Path, slices: list[dict[str, Any]]) -> list[str]:
    problems = []
    for row in slices:
        try:
            if pixel_digest(read_stored(out, row)) != row["sha256_pixels"]:
                problems.append(f"slice {row['slice_id']} has other pixels than when it was written")
        except (OSError, ValueError) as error:
            problems.append(str(error))
    return problems


def _file_problems(out: Path, slices: list[dict[str, Any]]) -> list[str]:
    files = read_table(out, FILES).to_pylist()
    rejected = Counter(row["source_h"] for row in read_table(out, REJECTS).to_pylist())
    ids = Counter(row["slice_id"] for row in slices)
    used = {row["source_h"] for row in slices}
    problems = [f"slice_id {name} occurs {n} times" for name, n in ids.items() if n > 1]
    problems += [f"file {h} occurs {n} times" for h, n in Counter(f["source_h"] for f in files).items() if n > 1]
    for file in files:
        in_rejects = rejected.pop(file["source_h"], 0)
        in_manifest = file["primary_h"] in used and file["outcome"] == "manifest"
        if in_manifest + in_rejects != 1 or (file["outcome"] == "rejects") != bool(in_rejects):
            problems.append(f"file {file['source_h']} does not end in exactly one of manifest and rejects")
    problems += [f"file {h} is in rejects but is no input" for h in rejected]
    strangers = used - {file["source_h"] for file in files if file["outcome"] == "manifest"}
    return problems + [f"file {h} is in the manifest but is no input" for h in sorted(strangers)]


def _split_problems(slices: list[dict[str, Any]]) -> list[str]:
    splits: dict[str, set[str]] = defaultdict(set)
    for row in slices:
        if row["split"]:
            splits[row["patient_h"]].add(row["split"])
    return [f"patient {h} is in splits {', '.join(sorted(names))}" for h, names in splits.items() if len(names) > 1]
