"""The three tables beside the shards: slices, rejects, and the input files with their outcome."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvm_med_monai.slices.store.location import Location
from lvm_med_monai.whole_file import whole_file

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.parquet

SCHEMA_VERSION = 2
"""Grows with every change of a table that a reader must know of. 2 added ``codec`` and ``dhash``."""
COLUMN_BUFFER_BYTES = 1 << 20
"""Of the file that are read at a time in doing so."""
COLUMN_BATCH_ROWS = 1 << 17
"""Rows that are decoded at a time; all at once would take twice the memory."""
MANIFEST, REJECTS, FILES = "manifest.parquet", "rejects.parquet", "files.parquet"


@dataclass(frozen=True)
class Field:
    """A column: its Arrow type by name, and what it means."""

    type: str
    meaning: str


SLICE_FIELDS: dict[str, Field] = {
    "schema_version": Field("int32", "version of this table"),
    "slice_id": Field("string", "hash of its source, unit and stack, then counters; unique, and the key in the shard"),
    "shard": Field("string", "tar file, relative to the folder of the manifest"),
    "offset": Field("int64", "first byte of the image in the shard"),
    "nbytes": Field("int64", "length of the image"),
    "codec": Field("string", "of the image: png, jxl, htj2k or blosc2"),
    "dtype": Field("string", "of the stored pixels: uint16, or uint8 for colour and 8-bit storage"),
    "height": Field("int32", "rows, pixels"),
    "width": Field("int32", "columns, pixels"),
    "channels": Field("int32", "1, or 3 for RGB"),
    "scale": Field("double", "modality units a stored step: value = stored * scale + intercept"),
    "intercept": Field("double", "modality units of stored 0"),
    "sha256_pixels": Field("string", "SHA-256 of the stored pixels, little endian, row by row"),
    "dhash": Field("string", "difference hash of the windowed slice, 64 bits as 16 hex digits; for near duplicates"),
    "dataset": Field("string", "name that the user gave to the source"),
    "source_h": Field("string", "keyed hash of the file that holds the slice (the first of the stack if reformatted)"),
    "source_format": Field("string", "dicom, nifti, analyze, mgh, metaimage, nrrd, png, jpeg, tiff, bmp or hdf5"),
    "transfer_syntax": Field("string", "DICOM transfer syntax UID, or empty"),
    "patient_h": Field("string", "keyed hash of the patient; split by it"),
    "study_h": Field("string", "keyed hash of the study"),
    "series_h": Field("string", "keyed hash of the series"),
    "stack_index": Field("int32", "number of the stack within its unit: series, file or archive"),
    "slice_index": Field("int32", "number of the slice within the stack, ascending along row x column"),
    "n_slices": Field("int32", "slices of the stack, kept or not"),
    "tile_row": Field("int32", "first pixel row of a tile in its slice; null if the slice is whole"),
    "tile_column": Field("int32", "first pixel column of a tile; null if the slice is whole"),
    "plane": Field("string", "axial, coronal, sagittal, oblique, or unknown without geometry"),
    "position_mm": Field("double", "distance from the LPS origin along the normal, mm; null without geometry"),
    "origin": Field("list<double>", "centre of the first pixel, LPS mm; null without geometry"),
    "row_cosines": Field("list<double>", "direction of increasing column index, LPS; null without geometry"),
    "column_cosines": Field("list<double>", "direction of increasing row index, LPS; null without geometry"),
    "spacing_y": Field("double", "distance of rows, mm; null if unknown"),
    "spacing_x": Field("double", "distance of columns, mm; null if unknown"),
    "slice_spacing": Field("double", "median distance of slices in the stack, mm; null if unknown"),
    "modality": Field("string", "DICOM's code, or unknown"),
    "units": Field("string", "HU, raw or display"),
    "window_lower": Field("double", "default window, modality units: black"),
    "window_upper": Field("double", "default window, modality units: white"),
    "foreground_fraction": Field("double", "share of pixels above the foreground threshold"),
    "flags": Field("list<string>", "names out of the table of flags, sorted"),
    "split": Field("string", "name that the user gave, such as train or test; may be empty"),
    "tool_version": Field("string", "version of lvm_med_monai that wrote the row"),
}
REJECT_FIELDS: dict[str, Field] = {
    "schema_version": Field("int32", "version of this table"),
    "dataset": Field("string", "name that the user gave to the source"),
    "source_h": Field("string", "keyed hash of the file"),
    "reason": Field("string", "reason code"),
    "detail": Field("string", "one sentence, free of patient data"),
}
FILE_FIELDS: dict[str, Field] = {
    "schema_version": Field("int32", "version of this table"),
    "dataset": Field("string", "name that the user gave to the source"),
    "source_h": Field("string", "keyed hash of the file"),
    "outcome": Field("string", "manifest or rejects: the one table in which the file ended"),
    "primary_h": Field("string", "source_h of the manifest rows to which the file contributed; its own in rejects"),
}
REPEATED = frozenset(
    {
        *("shard", "codec", "dtype", "dataset", "source_format", "transfer_syntax", "patient_h", "study_h", "series_h"),
        *("plane", "modality", "units", "split", "tool_version"),
    }
)
"""String fields with far fewer values than rows."""
DEFAULTS: dict[str, str | None] = {"codec": "png", "dhash": None}
"""Values of the fields that tables of schema 1 lack."""
TABLES = {MANIFEST: SLICE_FIELDS, REJECTS: REJECT_FIELDS, FILES: FILE_FIELDS}


def schema(name: str) -> pyarrow.Schema:
    """Arrow schema of a table by its file name, with the meanings as field metadata."""
    import pyarrow as pa

    types = {"list<double>": pa.list_(pa.float64()), "list<string>": pa.list_(pa.string()), "double": pa.float64()}
    fields = []
    for column, spec in TABLES[name].items():
        kind = types.get(spec.type) or getattr(pa, spec.type)()
        fields.append(pa.field(column, kind, metadata={"meaning": spec.meaning}))
    return pa.schema(fields)


def write_table(folder: Path, name: str, rows: Sequence[dict[str, Any]] | pyarrow.Table) -> None:
    """Write a table beside its place, then move it there, so that no reader sees half of one.

    Args:
        folder: where it belongs.
        name: `MANIFEST`, `REJECTS` or `FILES`.
        rows: one dictionary a row, in which a missing field is null; or a table with the fields of `schema`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = rows.cast(schema(name)) if isinstance(rows, pa.Table) else pa.Table.from_pylist(list(rows), schema(name))
    with whole_file(folder / name) as partial:
        pq.write_table(table, partial)


def read_table(
    root: str | os.PathLike[str] | Location, name: str, columns: Sequence[str] | None = None
) -> pyarrow.Table:
    """A table by its file name.

    Args:
        root: the folder, or the URL of one in an object store.
        name: `MANIFEST`, `REJECTS` or `FILES`.
        columns: fields to read; all if None.

    Returns:
        The table. Manifests of schema 1 get the fields that they lack: ``codec`` "png", ``dhash`` null.

    Raises:
        FileNotFoundError: the folder has none.
        ValueError: the table is of a newer schema, or has no such column.
    """
    with opened_table(root, name) as parquet:
        if unknown := set(columns or ()) - TABLES[name].keys():
            raise ValueError(f"{name} has no field {sorted(unknown)}: see docs/slices.md")
        wanted = list(TABLES[name] if columns is None else columns)
        present = set(parquet.schema_arrow.names)
        known = [column for column in wanted if column in present]
        return _completed(parquet.read(known, use_threads=False), name, wanted)


def read_columns(root: str | os.PathLike[str] | Location, name: str) -> Iterator[tuple[str, pyarrow.ChunkedArray]]:
    """The fields of a table one after the other, so that no more than one need be in memory; as `read_table`.

    Strings that repeat come as Arrow dictionaries.
    """
    import pyarrow as pa

    with opened_table(root, name, encoded=True) as parquet:
        present = set(parquet.schema_arrow.names)
        for column in TABLES[name]:
            source = column if column in present else "schema_version"
            batches = parquet.iter_batches(COLUMN_BATCH_ROWS, columns=[source], use_threads=False)
            # No local name may keep the column alive while the next one is read
            kind = parquet.schema_arrow.field(source)
            yield column, _completed(pa.Table.from_batches(batches, pa.schema([kind])), name, [column])[column]


@contextmanager
def opened_table(
    root: str | os.PathLike[str] | Location, name: str, encoded: bool = False
) -> Iterator[pyarrow.parquet.ParquetFile]:
    """The open file of a table whose schema this version reads; raises as `read_table`.

    Args:
        root: the folder, or the URL of one.
        name: `MANIFEST`, `REJECTS` or `FILES`.
        encoded: read strings that repeat as Arrow dictionaries.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    location = Location.of(root)
    if not location.has(name):
        raise FileNotFoundError(
            f"{location} holds no {name}: it is not a finished slice folder. "
            f"Run `python -m lvm_med_monai.slices extract SOURCE -o {location}` first"
        )
    # A local file is opened by Arrow itself: its threads may hold Python's file objects when the interpreter ends
    with pa.OSFile(str(Path(location.url, name))) if location.is_local else location.open(name) as file:
        parquet = pq.ParquetFile(file)
        versions = parquet.read(["schema_version"], use_threads=False)["schema_version"]
        newest = pc.max(versions).as_py() if len(versions) else SCHEMA_VERSION
        if newest > SCHEMA_VERSION:
            raise ValueError(
                f"{name} of {location} has schema {newest}, this version reads {SCHEMA_VERSION}: update lvm_med_monai"
            )
        if encoded:
            repeated = [column for column in parquet.schema_arrow.names if column in REPEATED]
            parquet = pq.ParquetFile(file, read_dictionary=repeated, buffer_size=COLUMN_BUFFER_BYTES)
        yield parquet


def _completed(table: pyarrow.Table, name: str, wanted: Sequence[str]) -> pyarrow.Table:
    """Adds the fields of newer schemas to a table, in the order of ``wanted``."""
    import pyarrow as pa

    kinds = schema(name)
    for column in wanted:
        if column not in table.column_names:
            values = pa.repeat(pa.scalar(DEFAULTS[column], kinds.field(column).type), len(table))
            table = table.append_column(kinds.field(column), values)
    return table.select(list(wanted))


def read_manifest(root: str | os.PathLike[str] | Location, columns: Sequence[str] | None = None) -> pyarrow.Table:
    """Table of all slices of an extracted folder, one row a slice (`SLICE_FIELDS`); see `read_table`."""
    return read_table(root, MANIFEST, columns)


def read_rejects(root: str | os.PathLike[str] | Location) -> pyarrow.Table:
    """Table of all files that gave no slice (`REJECT_FIELDS`); raises as `read_table`."""
    return read_table(root, REJECTS)
