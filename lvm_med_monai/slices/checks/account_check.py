"""Do the tables of an extraction agree: files, parts, ids, splits?"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lvm_med_monai.slices.store.manifest import FILES, MANIFEST, REJECTS
from lvm_med_monai.slices.work.merging import missing_parts, sources_of
from lvm_med_monai.slices.work.part_extraction import PARTS

if TYPE_CHECKING:
    import pyarrow


def file_faults(files: pyarrow.Table, slices: pyarrow.Table, rejects: pyarrow.Table) -> Iterator[str]:
    """Files that are not in exactly one of manifest and rejects, or in one of them without being an input."""
    used = set(slices["source_h"].to_pylist())
    rejected = Counter(rejects["source_h"].to_pylist())
    columns = (files[name].to_pylist() for name in ("source_h", "outcome", "primary_h"))
    rows = list(zip(*columns, strict=True))
    yield from (f"file {h} occurs {n} times" for h, n in Counter(row[0] for row in rows).items() if n > 1)
    for source, outcome, primary in rows:
        in_rejects = rejected.pop(source, 0)
        in_manifest = primary in used and outcome == "manifest"
        if in_manifest + in_rejects != 1 or (outcome == "rejects") != bool(in_rejects):
            yield f"file {source} does not end in exactly one of manifest and rejects"
    yield from (f"file {h} is in rejects but is no input" for h in rejected)
    strangers = used - {source for source, outcome, _ in rows if outcome == "manifest"}
    yield from (f"file {h} is in the manifest but is no input" for h in sorted(strangers))
    given = sum(outcome == "manifest" for _, outcome, _ in rows)
    if len(files) != given + len(rejects):
        yield f"{len(files)} files went in, {given} are in the manifest and {len(rejects)} in rejects"


def id_faults(slices: pyarrow.Table) -> Iterator[str]:
    """Rows that share a ``slice_id``."""
    for entry in slices["slice_id"].value_counts().to_pylist():
        if entry["counts"] > 1:
            yield f"slice_id {entry['values']} occurs {entry['counts']} times"


def _in_two_splits(slices: pyarrow.Table, column: str) -> dict[str, list[str]]:
    pairs = slices.select([column, "split"]).group_by([column, "split"]).aggregate([])
    splits: dict[str, list[str]] = defaultdict(list)
    for value, split in zip(pairs[column].to_pylist(), pairs["split"].to_pylist(), strict=True):
        if split and value:
            splits[value].append(split)
    return {value: sorted(names) for value, names in sorted(splits.items()) if len(names) > 1}


def split_faults(slices: pyarrow.Table) -> Iterator[str]:
    """Patients, and studies of patients that were not recognised as one, in two splits; across data sets too."""
    for kind, column in (("patient", "patient_h"), ("study", "study_h")):
        for value, names in _in_two_splits(slices, column).items():
            yield f"{kind} {value} is in splits {', '.join(names)}"


def repeated_images(slices: pyarrow.Table) -> Iterator[str]:
    """Images with the same stored pixels in two splits: a warning, as blank or synthetic slices may be equal."""
    for digest, names in _in_two_splits(slices, "sha256_pixels").items():
        yield f"the same pixels (SHA-256 {digest[:12]}...) are in splits {', '.join(names)}"


def part_faults(root: Path, tables: dict[str, pyarrow.Table]) -> Iterator[str]:
    """Parts that are unfinished, missing, or not in the merged tables.

    Args:
        root: the output.
        tables: its merged tables by file name.
    """
    import pyarrow.parquet as pq

    folders = sorted(path for path in (root / PARTS).glob("*") if path.is_dir())
    finished = [path for path in folders if not path.name.startswith(".")]
    yield from (f"part {path.name} is unfinished; run the extraction again" for path in folders if path not in finished)
    totals: Counter[str] = Counter()
    for part in finished:
        try:
            totals.update({name: pq.read_metadata(part / name).num_rows for name in (MANIFEST, REJECTS, FILES)})
        except (OSError, ValueError) as error:  # ArrowInvalid is a ValueError
            yield f"part {part.name} is incomplete ({type(error).__name__}); run the extraction again"
    for name, table in tables.items():
        if totals[name] != len(table):
            yield f"{name} has {len(table)} rows, its parts have {totals[name]}; run merge again"
    yield from _missing_parts(root)


def _missing_parts(root: Path) -> Iterator[str]:
    try:
        if not sources_of(root):
            yield "nothing says which parts there must be; run the extraction again"
        yield from (f"part {name} is missing or out of date; run the extraction again" for name in missing_parts(root))
    except (OSError, ValueError, KeyError) as error:
        yield f"what says which parts there must be cannot be read ({type(error).__name__}); run the extraction again"
