"""A manifest as large as one likes, made column by column, without any shard."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from lvm_med_monai.slices.store.manifest import MANIFEST, SCHEMA_VERSION, schema, write_table

STACK_SLICES = 40
DATASETS = 55
MODALITIES = ("CT", "MR", "US", "CR", "unknown")
SPLITS = ("train", "validation", "test")


def repeated(values: list[str], codes: np.ndarray) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), pa.array(values))


def hashes(prefix: str, codes: np.ndarray) -> pa.DictionaryArray:
    """Distinct strings of 32 digits, as long as real ones."""
    return repeated([f"{prefix}{number:031x}"[-32:] for number in range(int(codes.max()) + 1)], codes)


def write_large_manifest(folder: Path, rows: int) -> None:
    """Stacks of 40 slices 2 mm apart, two a patient, in 55 data sets and three splits."""
    row = np.arange(rows)
    stack, place = row // STACK_SLICES, row % STACK_SLICES
    dataset = stack % DATASETS
    three = pa.FixedSizeListArray.from_arrays(pa.array(np.tile([0.0, 1.0, 2.0], rows)), 3).cast(pa.list_(pa.float64()))
    zero = np.zeros(rows, np.int64)
    columns = {
        "schema_version": np.full(rows, SCHEMA_VERSION),
        "slice_id": [f"{number:016x}-q{number % 1000000:06d}" for number in range(rows)],
        "shard": hashes("parts/", row // 2000),
        "offset": row % 2000 * 100000,
        "nbytes": np.full(rows, 99000),
        "codec": repeated(["png"], zero),
        "dtype": repeated(["uint16"], zero),
        "height": np.full(rows, 512),
        "width": np.full(rows, 512),
        "channels": np.ones(rows, np.int64),
        "scale": np.ones(rows),
        "intercept": np.zeros(rows),
        "sha256_pixels": [f"{number:064x}" for number in range(rows)],
        "dhash": [f"{number:016x}" for number in range(rows)],
        "dataset": repeated([f"set{number:02d}" for number in range(DATASETS)], dataset),
        "source_h": [f"{number:032x}" for number in range(rows)],
        "source_format": repeated(["dicom"], zero),
        "transfer_syntax": repeated(["1.2.840.10008.1.2.1"], zero),
        "patient_h": hashes("a", stack // 2),
        "study_h": hashes("b", stack),
        "series_h": hashes("c", (stack * 7919) % (int(stack.max()) + 1)),
        "stack_index": zero,
        "slice_index": place,
        "n_slices": np.full(rows, STACK_SLICES),
        "tile_row": pa.nulls(rows, pa.int32()),
        "tile_column": pa.nulls(rows, pa.int32()),
        "plane": repeated(["axial"], zero),
        "position_mm": place * 2.0,
        "origin": three,
        "row_cosines": three,
        "column_cosines": three,
        "spacing_y": np.full(rows, 0.7),
        "spacing_x": np.full(rows, 0.7),
        "slice_spacing": np.full(rows, 2.0),
        "modality": repeated(list(MODALITIES), dataset % len(MODALITIES)),
        "units": repeated(["HU", "raw"], (dataset % len(MODALITIES) > 0).astype(np.int64)),
        "window_lower": np.full(rows, -160.0),
        "window_upper": np.full(rows, 240.0),
        "foreground_fraction": np.full(rows, 0.5),
        "flags": pa.array([[]] * rows, pa.list_(pa.string())),
        "split": repeated(list(SPLITS), np.array([0] * 8 + [1, 2])[stack // 2 % 10]),
        "tool_version": repeated(["0.1.0"], zero),
    }
    table = pa.table([pa.array(columns[field.name]).cast(field.type) for field in schema(MANIFEST)], schema(MANIFEST))
    write_table(folder, MANIFEST, table)
