from __future__ import annotations

import io
import json
import stat
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays

from lvm_med_monai.slices.identity import Identities, load_key
from lvm_med_monai.slices.store.manifest import MANIFEST, SLICE_FIELDS, read_manifest, schema, write_table
from lvm_med_monai.slices.store.shards import ShardWriter, pixel_digest, read_slice, store


def write(folder: Path, slices: list[np.ndarray], max_bytes: int = 1 << 20) -> list[dict]:
    rows = []
    with ShardWriter(folder, "slices", max_bytes=max_bytes) as writer:
        for i, pixels in enumerate(slices):
            stored = store(pixels)
            shard, offset, nbytes = writer.add(f"s{i}", stored, {"i": i})
            size = {"height": pixels.shape[0], "width": pixels.shape[1], "channels": 3 if pixels.ndim == 3 else 1}
            values = {"scale": stored.scale, "intercept": stored.intercept}
            rows.append({"slice_id": f"s{i}", "shard": shard, "offset": offset, "nbytes": nbytes, **size, **values})
    return rows


SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9))


@settings(max_examples=30, deadline=None)
@given(arrays(np.int32, SIZES, elements=st.integers(-40000, 25535)), st.booleans())
def test_integers_round_trip(tmp_path_factory: pytest.TempPathFactory, pixels: np.ndarray, as_float: bool) -> None:
    pixels = pixels.astype(np.float32) if as_float else pixels
    folder = tmp_path_factory.mktemp("shards")
    assert store(pixels).exact
    assert np.array_equal(read_slice(folder, write(folder, [pixels])[0]), pixels)


@settings(max_examples=30, deadline=None)
@given(arrays(np.float32, SIZES, elements=st.floats(-1e4, 1e4, width=32)))
def test_floats_are_within_half_a_step(tmp_path_factory: pytest.TempPathFactory, pixels: np.ndarray) -> None:
    folder = tmp_path_factory.mktemp("shards")
    stored = store(pixels)
    error = np.abs(read_slice(folder, write(folder, [pixels])[0]) - pixels.astype(np.float64)).max()
    assert error <= (0 if stored.exact else stored.scale * 0.5 + 1e-3)


@pytest.mark.parametrize(
    ("pixels", "exact"),
    [
        (np.array([[0, 65535]]), True),
        (np.array([[-1, 65535]]), False),
        (np.array([[2**24, 2**24 - 5]]), True),
        (np.array([[2**24 + 2, 2**24]]), False),
        (np.array([[0.5, 0.5]]), False),
    ],
)
def test_what_is_exact(pixels: np.ndarray, exact: bool) -> None:
    assert store(pixels).exact is exact


def test_colour_round_trip(tmp_path: Path) -> None:
    colour = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    result = read_slice(tmp_path, write(tmp_path, [colour])[0])
    assert result.dtype == np.uint8
    assert np.array_equal(result, colour)


def test_layout_is_webdatasets(tmp_path: Path) -> None:
    slices = [np.full((8, 8), i) for i in range(5)]
    rows = write(tmp_path, slices, max_bytes=6000)
    assert len({row["shard"] for row in rows}) > 1
    members = []
    for shard in sorted(tmp_path.glob("*.tar")):
        with tarfile.open(shard) as tar:
            for member in tar:
                members.append(member.name)
                assert (member.mtime, member.uid, member.uname) == (0, 0, "")
                if member.name.endswith(".json"):
                    assert json.load(tar.extractfile(member) or io.BytesIO()) == {"i": int(member.name[1])}
        assert shard.stat().st_size % tarfile.RECORDSIZE == 0
    assert members == [f"s{i}.{suffix}" for i in range(5) for suffix in ("png", "json")]
    assert all(np.array_equal(read_slice(tmp_path, row), pixels) for row, pixels in zip(rows, slices, strict=True))


def test_headers_are_those_of_tarfile(tmp_path: Path) -> None:
    write(tmp_path, [np.full((8, 8), i) for i in range(5)])
    raw, again = (tmp_path / "slices-00000.tar").read_bytes(), io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar, tarfile.open(fileobj=again, mode="w", format=0) as copy:
        for member in tar:
            copy.addfile(member, tar.extractfile(member))
    # up to the device numbers, which Python 3.10 writes as zeros and later versions leave empty
    assert again.getvalue().replace(b"0000000\0" * 2 + bytes(155), bytes(16 + 155)) == raw


def test_long_keys(tmp_path: Path) -> None:
    with ShardWriter(tmp_path, "slices") as writer, pytest.raises(ValueError, match="104 letters does not fit"):
        writer.add("s" * 100, store(np.eye(4)), {})


def test_same_slices_give_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        write(tmp_path / name, [np.eye(20)])
    assert (tmp_path / "a" / "slices-00000.tar").read_bytes() == (tmp_path / "b" / "slices-00000.tar").read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 9}, "not what the manifest says"),
        ({"offset": 3}, "not what"),
        ({"nbytes": 20}, "not what"),
        ({"height": 1 << 20, "width": 1 << 20}, "declares 1048576 x 1048576 pixels, more"),
        ({"nbytes": 1 << 50}, "declares 1125899906842624 bytes for 20 x 20 pixels"),
        ({"dtype": "float64"}, "not what"),
    ],
)
def test_row_that_does_not_fit(tmp_path: Path, change: dict, message: str) -> None:
    row = write(tmp_path, [np.eye(20)])[0]
    with pytest.raises(ValueError, match=message):
        read_slice(tmp_path, row | change)


def test_digest_does_not_depend_on_byte_order() -> None:
    pixels = np.arange(6, dtype=np.uint16).reshape(2, 3)
    assert pixel_digest(pixels) == pixel_digest(pixels.astype(">u2")) == pixel_digest(np.asfortranarray(pixels))


def test_manifest_of_a_folder_without_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds no manifest\.parquet.*Run `python -m"):
        read_manifest(tmp_path)


def test_manifest_of_the_future(tmp_path: Path) -> None:
    write_table(tmp_path, MANIFEST, [{"schema_version": 99}])
    with pytest.raises(ValueError, match="schema 99, this version reads 2: update"):
        read_manifest(tmp_path)


def test_schema_explains_itself() -> None:
    table = schema(MANIFEST)
    assert table.names == list(SLICE_FIELDS)
    assert table.field("origin").metadata[b"meaning"].startswith(b"centre of the first pixel")


def test_key_is_private_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "key"
    key = load_key(path, tmp_path / "out")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_key(path, tmp_path / "out") == key
    assert len(key) == 32


def test_key_inside_the_output(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="inside of the output"):
        load_key(tmp_path / "out" / "sub" / "key", tmp_path / "out")


def test_identities() -> None:
    one, other = Identities(b"x" * 32), Identities(b"y" * 32)
    assert one.hash("patient", "a") == one.hash("patient", "a")
    assert (
        len({one.hash("patient", "a"), one.hash("study", "a"), one.hash("patient", "b"), other.hash("patient", "a")})
        == 4
    )
    assert one.hash("k", "a", "b") != one.hash("k", "ab")
    with pytest.raises(ValueError, match="at least 16 bytes"):
        Identities(b"short")
