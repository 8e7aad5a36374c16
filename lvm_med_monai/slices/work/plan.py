"""The plan of an extraction: which files there are, which belong together, and in which part each is extracted.

A plan is a Parquet table with one row a file. It holds paths and series UIDs, so it belongs to the owner of the data
and is not published.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvm_med_monai import __version__
from lvm_med_monai.slices.source import Source
from lvm_med_monai.slices.store.manifest import Field
from lvm_med_monai.slices.work.units import Part, PlannedFile, Unit, list_units

if TYPE_CHECKING:
    import pyarrow

PLAN_SCHEMA = 1
"""Grows with every change of the table that a reader must know of."""
SUFFIX = ".parquet"
_META = b"lvm_med_monai.plan"
PLAN_FIELDS: dict[str, Field] = {
    "source": Field("int32", "index into the list of sources in the metadata of the file"),
    "part": Field("int32", "number of the part within its source; a part is extracted as a whole"),
    "unit": Field("int32", "number of the unit within its source; its files are read together"),
    "kind": Field("string", "dicom, nifti, itk, picture, hdf5, zip or tar; rejected for a file that is not read"),
    "unit_key": Field("binary", "what names the unit: its series, folder or file"),
    "path": Field("binary", "of the file, below the source, as bytes"),
    "bytes": Field("int64", "size of the file"),
    "mtime_ns": Field("int64", "time of its last change, ns"),
    "suspect": Field("bool_", "a damaged DICOM file lies in its folder"),
    "reason": Field("string", "why the file is rejected; empty if it is read"),
    "detail": Field("string", "one sentence about it"),
}


@dataclass(frozen=True, eq=False)
class Plan:
    """Sources and their files.

    Attributes:
        sources: in the order given.
        table: one row a file, in the order of source, part, unit and path (`PLAN_FIELDS`).
    """

    sources: tuple[Source, ...]
    table: pyarrow.Table

    @property
    def size(self) -> int:
        """Bytes of all files."""
        import pyarrow.compute as pc

        return pc.sum(self.table["bytes"]).as_py() or 0

    def counts(self) -> dict[str, int]:
        """Numbers of sources, units, and parts."""
        rows = self.table.select(["source", "unit", "part"])
        units = rows.group_by(["source", "unit"]).aggregate([]).num_rows
        parts = rows.group_by(["source", "part"]).aggregate([]).num_rows
        return {"sources": len(self.sources), "units": units, "parts": parts}

    def parts(self) -> Iterator[Part]:
        """Parts in the order of source and index, one in memory at a time."""
        rows = (row for batch in self.table.to_batches(max_chunksize=1 << 12) for row in batch.to_pylist())
        for (source, index), group in groupby(rows, key=lambda row: (row["source"], row["part"])):
            units = groupby(group, key=lambda row: row["unit"])
            yield Part(self.sources[source], index, tuple(_unit(list(members)) for _, members in units))


def make_plan(
    sources: Sequence[Source], on_unit: Callable[[Unit], object] = lambda unit: None, workers: int = 0
) -> Plan:
    """Walk the sources and read headers.

    Args:
        sources: at least one.
        on_unit: called for each unit that was found.
        workers: processes that read headers; 0 reads them in this one. Their caller must guard its top level by
            ``if __name__ == "__main__"``, as multiprocessing demands.

    Raises:
        FileNotFoundError: a source does not exist.
        ValueError: no sources, one given twice, or a folder without files.
    """
    import pyarrow as pa

    check_sources(sources)
    batches = [batch for number, source in enumerate(sources) for batch in _batches(number, source, on_unit, workers)]
    return Plan(tuple(sources), pa.Table.from_batches(batches, schema=_schema()))


def check_sources(sources: Sequence[Source]) -> None:
    """Raise as `make_plan` does for sources that are missing, absent or given twice."""
    if not sources:
        raise ValueError("no sources given; name at least one file or folder")
    seen: set[tuple[str, str]] = set()
    for source in sources:
        if (source.dataset, source.name) in seen:
            raise ValueError(f"sources given twice: {source.name}; give each once per data set")
        seen.add((source.dataset, source.name))
        if not source.path.exists():
            raise FileNotFoundError(f"no file or folder {source.path}; check the path")


def write_plan(plan: Plan, path: Path) -> None:
    """Write a plan so that only its owner can read it; half of one is never seen."""
    import pyarrow.parquet as pq

    sources = [{**asdict(source), "path": str(source.path)} for source in plan.sources]
    content = {"schema": PLAN_SCHEMA, "version": __version__, "sources": sources}
    table = plan.table.replace_schema_metadata({_META: json.dumps(content).encode()})
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.partial")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        pq.write_table(table, file)
    os.replace(temporary, path)


def read_plan(path: Path) -> Plan:
    """Read a plan.

    Raises:
        FileNotFoundError: there is none, or one of its sources is not there any more.
        ValueError: the file is no plan, or of a newer schema.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise FileNotFoundError(f"no plan {path}; make one with `python -m lvm_med_monai.slices scan SRC -o {path}`")
    try:
        table = pq.ParquetFile(path).read(use_threads=False)
        content = json.loads((table.schema.metadata or {})[_META])
    except (pa.ArrowInvalid, KeyError) as error:
        raise ValueError(
            f"{path} is no plan; make one with `python -m lvm_med_monai.slices scan SRC -o PLAN`"
        ) from error
    if content["schema"] > PLAN_SCHEMA:
        raise ValueError(
            f"{path} has schema {content['schema']}, this version reads {PLAN_SCHEMA}; update or scan again"
        )
    sources = [Source(**fields) for fields in content["sources"]]
    for source in sources:
        if not source.path.exists():
            raise FileNotFoundError(f"no file or folder {source.path}; run where the plan was made, or scan again")
    return Plan(tuple(sources), table.select(list(PLAN_FIELDS)))


def is_plan(path: Path) -> bool:
    """Whether a path is meant to be a plan: by its suffix, which no image format has."""
    return path.name.lower().endswith(SUFFIX)


def _schema() -> pyarrow.Schema:
    import pyarrow as pa

    fields = [pa.field(n, getattr(pa, f.type)(), metadata={"meaning": f.meaning}) for n, f in PLAN_FIELDS.items()]
    return pa.schema(fields)


def _batches(
    number: int, source: Source, on_unit: Callable[[Unit], object], workers: int
) -> Iterator[pyarrow.RecordBatch]:
    import pyarrow as pa

    rows: list[dict[str, Any]] = []
    for index, (part, unit) in enumerate(list_units(source, workers)):
        on_unit(unit)
        rows += [_row(number, part, index, unit, file) for file in unit.files]
        if len(rows) >= 1 << 12:
            yield pa.RecordBatch.from_pylist(rows, schema=_schema())
            rows = []
    yield pa.RecordBatch.from_pylist(rows, schema=_schema())


def _row(source: int, part: int, index: int, unit: Unit, file: PlannedFile) -> dict[str, Any]:
    return {
        "source": source,
        "part": part,
        "unit": index,
        "kind": unit.kind,
        "unit_key": os.fsencode(unit.key),
        "path": os.fsencode(file.path),
        "bytes": file.size,
        "mtime_ns": file.mtime_ns,
        "suspect": file.suspect,
        "reason": file.reason,
        "detail": file.detail,
    }


def _unit(rows: list[dict[str, Any]]) -> Unit:
    files = tuple(
        PlannedFile(os.fsdecode(r["path"]), r["bytes"], r["mtime_ns"], r["suspect"], r["reason"], r["detail"])
        for r in rows
    )
    return Unit(rows[0]["kind"], os.fsdecode(rows[0]["unit_key"]), files)
