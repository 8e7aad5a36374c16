"""Tables that are written row by row and kept as columns, which take a tenth of the memory of rows."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvm_med_monai.slices.store.manifest import TABLES, schema
from lvm_med_monai.whole_file import whole_file

if TYPE_CHECKING:
    import pyarrow

CHUNK_ROWS = 2048
"""Rows that are collected before they become columns."""
GROUP_ROWS = 1 << 16
"""Rows of a row group of a merged table, or a little more."""


class TableBuilder:
    """Collects the rows of the three tables."""

    def __init__(self) -> None:
        self._rows: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
        self._batches: dict[str, list[pyarrow.RecordBatch]] = {name: [] for name in TABLES}
        self.counts: dict[str, int] = dict.fromkeys(TABLES, 0)

    def add(self, name: str, row: dict[str, Any]) -> None:
        """Append a row to a table."""
        rows = self._rows[name]
        rows.append(row)
        self.counts[name] += 1
        if len(rows) >= CHUNK_ROWS:
            self._flush(name)

    def write(self, folder: Path) -> None:
        """Write all tables into a folder."""
        import pyarrow as pa

        for name in TABLES:
            self._flush(name)
            write_columns(folder, name, pa.Table.from_batches(self._batches[name], schema=schema(name)))

    def _flush(self, name: str) -> None:
        import pyarrow as pa

        self._batches[name].append(pa.RecordBatch.from_pylist(self._rows[name], schema=schema(name)))
        self._rows[name] = []


def write_columns(folder: Path, name: str, table: pyarrow.Table) -> None:
    """Write a table beside its place, then move it there, so that no reader sees half of one."""
    write_merged(folder, name, [table])


def write_merged(folder: Path, name: str, tables: Iterable[pyarrow.Table]) -> None:
    """Write tables one behind the other as one, in row groups of `GROUP_ROWS` or a little more; as `write_columns`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with whole_file(folder / name) as partial, pq.ParquetWriter(partial, schema(name)) as writer:
        waiting: list[pyarrow.Table] = []
        for table in tables:
            waiting.append(table)
            if sum(len(one) for one in waiting) >= GROUP_ROWS:
                writer.write_table(pa.concat_tables(waiting))
                waiting = []
        if waiting:
            writer.write_table(pa.concat_tables(waiting))


def read_part(folder: Path, name: str) -> pyarrow.Table:
    """A table of a part that this version wrote.

    It is read without threads: Arrow's outlive the call, and end the process with a crash if Python ends first.
    """
    import pyarrow.parquet as pq

    return pq.ParquetFile(folder / name).read(use_threads=False)
