from __future__ import annotations

from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lvm_med_monai.slices.store.manifest import MANIFEST, SLICE_FIELDS, read_columns, read_manifest, schema, write_table
from lvm_med_monai.slices.store.shards import ShardWriter, read_slice, store


def rows(version: int = 2) -> list[dict[str, Any]]:
    return [
        {"schema_version": version, "slice_id": f"s{i}", "dataset": "a", "codec": "jxl", "dhash": f"{i:016x}"}
        for i in range(5)
    ]


def write_old(folder: Path) -> None:
    """A manifest of schema 1, which knew neither codecs nor hashes."""
    table = pa.Table.from_pylist(rows(1), schema=schema(MANIFEST)).drop_columns(["codec", "dhash"])
    pq.write_table(table, folder / MANIFEST)


def test_rows_or_tables(tmp_path: Path) -> None:
    write_table(tmp_path, MANIFEST, rows())
    first = read_manifest(tmp_path)
    write_table(tmp_path, MANIFEST, first)
    assert read_manifest(tmp_path).equals(first)
    assert first.schema.names == list(SLICE_FIELDS)
    assert [path.name for path in tmp_path.iterdir()] == [MANIFEST]


def test_columns_can_be_chosen(tmp_path: Path) -> None:
    write_table(tmp_path, MANIFEST, rows())
    assert read_manifest(tmp_path, ["slice_id", "codec"]).to_pylist()[1] == {"slice_id": "s1", "codec": "jxl"}
    with pytest.raises(ValueError, match=r"manifest.parquet has no field \['colour'\]"):
        read_manifest(tmp_path, ["colour"])


def test_old_manifests_are_png(tmp_path: Path) -> None:
    write_old(tmp_path)
    table = read_manifest(tmp_path)
    assert table.schema.names == list(SLICE_FIELDS)
    assert set(table["codec"].to_pylist()) == {"png"}
    assert table["dhash"].null_count == 5
    assert read_manifest(tmp_path, ["dhash", "slice_id"]).to_pylist()[0] == {"dhash": None, "slice_id": "s0"}
    assert {name: len(column) for name, column in read_columns(tmp_path, MANIFEST)} == dict.fromkeys(SLICE_FIELDS, 5)


def test_old_rows_are_read(tmp_path: Path) -> None:
    with ShardWriter(tmp_path, "slices") as writer:
        shard, offset, nbytes = writer.add("s0", store(pa.array([7, 9]).to_numpy().reshape(1, 2)), {})
    row = {"slice_id": "s0", "shard": shard, "offset": offset, "nbytes": nbytes, "height": 1, "width": 2}
    assert read_slice(tmp_path, row | {"channels": 1, "scale": 1.0, "intercept": 0.0}).tolist() == [[7, 9]]


def test_urls(tmp_path: Path) -> None:
    write_table(tmp_path, MANIFEST, rows())
    files = fsspec.filesystem("memory")
    files.put(str(tmp_path / MANIFEST), f"/tables/{MANIFEST}")
    try:
        assert read_manifest("memory://tables").equals(read_manifest(tmp_path))
        assert read_manifest("memory://tables/").equals(read_manifest(f"file://{tmp_path}"))
        with pytest.raises(FileNotFoundError, match=r"memory://tables/x holds no manifest\.parquet"):
            read_manifest("memory://tables/x")
    finally:
        files.rm("/tables", recursive=True)
