"""Checking an extracted folder: every byte, every count, every split."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lvm_med_monai.slices.checks.account_check import (
    file_faults,
    id_faults,
    part_faults,
    repeated_images,
    split_faults,
)
from lvm_med_monai.slices.checks.findings import Findings
from lvm_med_monai.slices.checks.shard_check import check_shard
from lvm_med_monai.slices.store.manifest import FILES, MANIFEST, REJECTS, read_table
from lvm_med_monai.slices.work.part_extraction import PARTS

if TYPE_CHECKING:
    import pyarrow


@dataclass(frozen=True)
class Verification:
    """Result of `verify`.

    Attributes:
        files_in: input files.
        files_in_manifest: files that gave slices.
        files_in_rejects: rows of the rejects.
        slices: rows of the manifest.
        slices_checked: of them, those whose pixels were read and hashed.
        shards: tar files.
        patients: patients of each split; the empty name stands for undecided.
        ok: no fault was found.
        faults: one sentence each; the first few, then how many more.
        warnings: what may be right but should be looked at: equal images in two splits.
    """

    files_in: int
    files_in_manifest: int
    files_in_rejects: int
    slices: int
    slices_checked: int
    shards: int
    patients: dict[str, int]
    ok: bool
    faults: tuple[str, ...]
    warnings: tuple[str, ...]


def verify(
    out: str | os.PathLike[str], *, sample: int | None = None, workers: int = 0, progress: bool = False
) -> Verification:
    """Prove that an output is whole: all files accounted for, all pixels unchanged, all splits disjoint.

    Args:
        out: folder that `extract` wrote.
        sample: hash the pixels of this many slices, chosen by the hash of their ids, so always the same; None hashes
            all. Tables and the layout of the shards are checked as a whole in either case.
        workers: processes that read shards; 0 reads in this one.
        progress: show a progress bar.

    Returns:
        The counts and whatever is wrong.

    Raises:
        FileNotFoundError: the folder was not written by `extract`, or is not merged yet.
        ValueError: a table is of a newer schema, or ``sample`` or ``workers`` is negative.
    """
    if workers < 0 or (sample is not None and sample < 0):
        raise ValueError(f"sample and workers are counts, got {sample} and {workers}")
    root = Path(out)
    tables = {name: read_table(root, name) for name in (FILES, REJECTS, MANIFEST)}
    files, rejects, slices = tables.values()
    wanted = None if sample is None else _sample(slices["slice_id"].to_pylist(), sample)
    shards = _shards(root, slices)
    faults, warnings = Findings(), Findings()
    for found in _check_shards(root, shards, wanted, workers, progress):
        faults.merge(found)
    faults.extend(id_faults(slices))
    faults.extend(part_faults(root, tables))
    faults.extend(file_faults(files, slices, rejects))
    faults.extend(split_faults(slices))
    warnings.extend(repeated_images(slices))
    return Verification(
        files_in=len(files),
        files_in_manifest=files["outcome"].to_pylist().count("manifest"),
        files_in_rejects=len(rejects),
        slices=len(slices),
        slices_checked=len(slices) if wanted is None else len(wanted),
        shards=len(shards),
        patients=_patients(slices),
        ok=not faults.total,
        faults=faults.lines(),
        warnings=warnings.lines(),
    )


def _sample(ids: list[str], count: int) -> frozenset[str]:
    return frozenset(sorted(ids, key=lambda name: hashlib.sha256(name.encode()).digest())[:count])


def _shards(root: Path, slices: pyarrow.Table) -> dict[str, pyarrow.Table]:
    """Rows of each shard; none for a shard that no row names."""
    names = slices["shard"].to_numpy(zero_copy_only=False).astype(str)
    order = np.argsort(names, kind="stable")
    unique, starts = np.unique(names[order], return_index=True)
    groups = np.split(order, starts[1:]) if len(unique) else []
    shards = {str(name): slices.take(group) for name, group in zip(unique, groups, strict=True)}
    for path in sorted((root / PARTS).rglob("*.tar")):
        if not path.relative_to(root / PARTS).parts[0].startswith("."):
            shards.setdefault(path.relative_to(root).as_posix(), slices.slice(0, 0))
    return shards


def _check_shards(
    root: Path, shards: dict[str, pyarrow.Table], wanted: frozenset[str] | None, workers: int, progress: bool
) -> Iterator[Findings]:
    from tqdm import tqdm

    roots, all_wanted = [root] * len(shards), [wanted] * len(shards)
    with tqdm(total=len(shards), unit=" shards", desc="verify", disable=not progress) as bar:
        if workers == 0:
            for findings in map(check_shard, roots, shards, shards.values(), all_wanted):
                bar.update()
                yield findings
            return
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            for findings in pool.map(check_shard, roots, shards, shards.values(), all_wanted):
                bar.update()
                yield findings


def _patients(slices: pyarrow.Table) -> dict[str, int]:
    pairs = slices.select(["patient_h", "split"]).group_by(["patient_h", "split"]).aggregate([])
    counts = pairs["split"].value_counts().to_pylist()
    return dict(sorted((entry["values"], entry["counts"]) for entry in counts))
