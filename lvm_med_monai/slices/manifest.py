"""The three tables beside the shards: slices, rejects, and the input files with their outcome."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow

SCHEMA_VERSION = 1
"""Grows with every change of a table that a reader must know of."""
MANIFEST, REJECTS, FILES = "manifest.parquet", "rejects.parquet", "files.parquet"


@dataclass(frozen=True)
class Field:
    """A column: its Arrow type by name, and what it means."""

    type: str
    meaning: str


SLICE_FIELDS: dict[str, Field] = {
    "schema_version": Field("int32", "version of this table"),
    "slice_id": Field("string", "hash of its source, then counters; unique, and the key in the shard"),
    "shard": Field("string", "tar file, relative to the folder of the manifest"),
    "offset": Field("int64", "first byte of the PNG in the shard"),
    "nbytes": Field("int64", "length of the PNG"),
    "dtype": Field("string", "of the stored pixels: uint16, or uint8 for colour"),
    "height": Field("int32", "rows, pixels"),
    "width": Field("int32", "columns, pixels"),
    "channels": Field("int32", "1, or 3 for RGB"),
    "scale": Field("double", "modality units a stored step: value = stored * scale + intercept"),
    "intercept": Field("double", "modality units of stored 0"),
    "sha256_pixels": Field("string", "SHA-256 of the stored pixels, little endian, row by row"),
    "dataset": Field("string", "name that the user gave to the source"),
    "source_h": Field("string", "keyed hash of the file that holds the slice (the first of the stack if reformatted)"),
    "source_format": Field("string", "dicom, nifti, analyze, mgh, metaimage, nrrd, png, jpeg, tiff or bmp"),
    "transfer_syntax": Field("string", "DICOM transfer syntax UID, or empty"),
    "patient_h": Field("string", "keyed hash of the patient; split by it"),
    "study_h": Field("string", "keyed hash of the study"),
    "series_h": Field("string", "keyed hash of the series"),
    "stack_index": Field("int32", "number of the stack within its source"),
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


def write_table(folder: Path, name: str, rows: Sequence[dict[str, Any]]) -> None:
    """Write a table beside its place, then move it there, so that no reader sees half of one."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    temporary = folder / f".{name}.partial"
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema(name)), temporary)
    os.replace(temporary, folder / name)


def read_table(root: str | os.PathLike[str], name: str) -> pyarrow.Table:
    """A table by its file name.

    Raises:
        FileNotFoundError: the folder has none.
        ValueError: the table is of a newer schema.
    """
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    path = Path(root) / name
    if not path.is_file():
        raise FileNotFoundError(
            f"{root} holds no {name}: it is not a finished slice folder. "
            f"Run `python -m lvm_med_monai.slices extract SOURCE -o {root}` first"
        )
    table = pq.read_table(path)
    newest = pc.max(table["schema_version"]).as_py() if len(table) else SCHEMA_VERSION
    if newest > SCHEMA_VERSION:
        raise ValueError(f"{path} has schema {newest}, this version reads {SCHEMA_VERSION}: update lvm_med_monai")
    return table


def read_manifest(root: str | os.PathLike[str]) -> pyarrow.Table:
    """Table of all slices of an extracted folder, one row a slice (`SLICE_FIELDS`); raises as `read_table`."""
    return read_table(root, MANIFEST)


def read_rejects(root: str | os.PathLike[str]) -> pyarrow.Table:
    """Table of all files that gave no slice (`REJECT_FIELDS`); raises as `read_table`."""
    return read_table(root, REJECTS)
