from __future__ import annotations

import contextlib
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays

from lvm_med_monai.slices.store.codecs import BLOSC_HEADER, CODECS, codec
from lvm_med_monai.slices.store.shards import ShardWriter, read_slice, read_stored, store
from lvm_med_monai.slices.store.storage import Storage
from lvm_med_monai.slices.windows import Window

NAMES = list(CODECS)
SHAPES = [((37, 53), "u2"), ((37, 53), "u1"), ((37, 53, 3), "u1"), ((1, 1), "u2"), ((1, 90), "u2"), ((90, 1), "u1")]


def picture(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Half smooth, half noise, with both ends of the range."""
    generator = np.random.default_rng(0)
    array = generator.integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)
    array[: shape[0] // 2] = 100
    array.flat[-1] = np.iinfo(dtype).max
    return array


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("shape", "dtype"), SHAPES, ids=str)
def test_lossless(name: str, shape: tuple[int, ...], dtype: str) -> None:
    pixels = picture(shape, dtype)
    data = codec(name).encode(pixels)
    result = codec(name).decode(bytes(data), shape, np.dtype(dtype))
    assert result.dtype == pixels.dtype
    assert np.array_equal(result, pixels)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None)
@given(pixels=arrays(st.sampled_from([np.uint8, np.uint16]), st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_any_pixels(name: str, pixels: np.ndarray) -> None:
    chosen = codec(name)
    assert np.array_equal(chosen.decode(chosen.encode(pixels), pixels.shape, pixels.dtype), pixels)


def write(folder: Path, name: str, pixels: np.ndarray, bits: int = 16) -> dict[str, Any]:
    stored = store(pixels, Storage(name, bits), Window(0, 510))
    with ShardWriter(folder, "slices", name) as writer:
        shard, offset, nbytes = writer.add("s0", stored, {})
    height, width = pixels.shape[:2]
    return {
        "slice_id": "s0",
        "shard": shard,
        "offset": offset,
        "nbytes": nbytes,
        "codec": name,
        "dtype": str(stored.pixels.dtype),
        "height": height,
        "width": width,
        "channels": 3 if pixels.ndim == 3 else 1,
        "scale": stored.scale,
        "intercept": stored.intercept,
    }


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bits", [8, 16])
def test_shards(tmp_path: Path, name: str, bits: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (40, 30)).astype(np.int16) * 2
    assert np.array_equal(read_slice(tmp_path, write(tmp_path, name, pixels, bits)), pixels)
    assert f"s0.{CODECS[name].suffix}".encode() in (tmp_path / "slices-00000.tar").read_bytes()[:100]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "change",
    [
        {"height": 41},
        {"width": 29},
        {"height": 30, "width": 40},
        {"dtype": "uint8"},
        {"offset": 300},
        {"nbytes": 30},
        {"nbytes": 0},
        {"channels": 3, "dtype": "uint8"},
    ],
    ids=str,
)
def test_rows_that_do_not_fit(tmp_path: Path, name: str, change: dict[str, Any]) -> None:
    pixels = np.random.default_rng(1).integers(0, 4096, (40, 30)).astype(np.int16)
    row = write(tmp_path, name, pixels)
    if name == "blosc2" and change == {"height": 30, "width": 40}:
        return  # it stores bytes alone: only the manifest knows the sides
    with pytest.raises(ValueError, match="not what the manifest says"):
        read_stored(tmp_path, row | change)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of imagecodecs' HTJ2K
@pytest.mark.parametrize("name", NAMES)
def test_damage_raises_or_changes_pixels_only(tmp_path: Path, name: str) -> None:
    """A flipped bit never crashes; what a codec cannot see, the hash of the pixels does."""
    row = write(tmp_path, name, np.random.default_rng(1).integers(0, 4096, (40, 30)).astype(np.int16))
    path = tmp_path / row["shard"]
    whole = path.read_bytes()
    for place in range(row["offset"], row["offset"] + row["nbytes"], max(1, row["nbytes"] // 60)):
        data = bytearray(whole)
        data[place] ^= 1 << place % 8
        path.write_bytes(data)
        with contextlib.suppress(ValueError):
            assert read_stored(tmp_path, row).shape == (40, 30)


def test_blosc2_does_not_trust_the_declared_size() -> None:
    data = bytearray(codec("blosc2").encode(picture((40, 30), "u2")))
    struct.pack_into("<i", data, 4, 2**31 - 1)
    assert BLOSC_HEADER.unpack_from(data)[4] == 2**31 - 1
    with pytest.raises(ValueError, match="does not hold 2400 bytes"):
        codec("blosc2").decode(bytes(data), (40, 30), np.dtype("u2"))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "png"])
def test_missing_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with pytest.raises(ImportError, match=rf"codec {name} needs imagecodecs: pip install lvm-med-monai\[codecs\]"):
        ShardWriter(tmp_path, "slices", name)
    assert not list(tmp_path.iterdir())
    assert codec("png")


def test_unknown_codec(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no codec webp; choose png, jxl, htj2k, blosc2"):
        ShardWriter(tmp_path, "slices", "webp")
