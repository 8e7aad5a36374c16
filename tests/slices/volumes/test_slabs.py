from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from lvm_med_monai.slices.volumes import slabs as module
from lvm_med_monai.slices.volumes.slabs import MAX_TRAILING_BYTES, SlabError, Slabs

OFFSET, SLAB, COUNT = 13, 1000, 6
DATA = np.random.default_rng(0).integers(0, 256, OFFSET + SLAB * COUNT, dtype=np.uint8).tobytes()


def slab(index: int) -> bytes:
    return DATA[OFFSET + index * SLAB : OFFSET + (index + 1) * SLAB]


def write(folder: Path, suffix: str, data: bytes = DATA) -> Path:
    path = folder / f"a{suffix}"
    path.write_bytes(data if suffix == ".bin" else gzip.compress(data, 1))
    return path


def slabs(path: Path, **options: bool) -> Slabs:
    return Slabs(path, OFFSET, SLAB, COUNT, **options)


@pytest.mark.parametrize("suffix", [".bin", ".gz", ".mgz", ".GZ"])
@pytest.mark.parametrize(
    "order", [range(6), [0, 3, 5], [5, 4, 0], [2, 2, 1, 5], [0, 1, 2, 0, 1, 2, 3]], ids=lambda order: str(list(order))
)
@pytest.mark.parametrize("check_first", [False, True])
def test_any_order_gives_the_same_bytes(tmp_path: Path, suffix: str, order: list[int], check_first: bool) -> None:
    reader = slabs(write(tmp_path, suffix), check_first=check_first)
    for index in order:
        assert reader.read(index).tobytes() == slab(index)
    assert reader.whole().tobytes() == DATA[OFFSET:]


def test_ascending_order_keeps_nothing(tmp_path: Path) -> None:
    reader = slabs(write(tmp_path, ".gz"))
    for _ in range(2):
        for index in range(COUNT):
            reader.read(index)
    assert reader._whole is None
    assert reader._stream is None  # closed at the end


@pytest.mark.parametrize("suffix", [".bin", ".gz"])
def test_early_end(tmp_path: Path, suffix: str) -> None:
    reader = slabs(write(tmp_path, suffix, DATA[:-1]))
    assert reader.read(4).tobytes() == slab(4)
    for _ in range(2):
        with pytest.raises(SlabError, match=r"ends early|shorter than its header"):
            reader.read(5)
    with pytest.raises(SlabError):
        reader.whole()


def test_truncated_stream(tmp_path: Path) -> None:
    path = write(tmp_path, ".gz")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises((SlabError, EOFError)):
        slabs(path).whole()


def flipped(path: Path) -> Path:
    """With one wrong bit in the checksum."""
    data = bytearray(path.read_bytes())
    data[-8] ^= 1
    path.write_bytes(data)
    return path


def test_wrong_checksum_shows_with_the_last_slab(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(bytes(4 << 20)))
    reader = Slabs(flipped(path), 0, 1 << 20, 4)
    for index in range(3):
        reader.read(index)
    with pytest.raises(gzip.BadGzipFile):
        reader.read(3)


def test_wrong_checksum_shows_first_if_asked(tmp_path: Path) -> None:
    with pytest.raises(gzip.BadGzipFile):
        slabs(flipped(write(tmp_path, ".gz")), check_first=True).read(0)


@pytest.mark.parametrize(("extra", "fine"), [(0, True), (100, True), (MAX_TRAILING_BYTES, True), (50 << 20, False)])
def test_what_follows_is_bounded(tmp_path: Path, extra: int, fine: bool) -> None:
    path = write(tmp_path, ".gz", DATA + bytes(extra))
    reader = slabs(path)
    reader.read(COUNT - 2)
    if fine:
        assert reader.read(COUNT - 1).tobytes() == slab(COUNT - 1)
    else:
        with pytest.raises(SlabError, match="goes on far behind"):
            reader.read(COUNT - 1)


def test_few_files_stay_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_OPEN", 3)
    readers = [slabs(write(tmp_path / str(i), ".gz")) for i in range(8) if (tmp_path / str(i)).mkdir() is None]
    before = len(os.listdir("/proc/self/fd"))
    for index in range(COUNT):
        for reader in readers:
            assert reader.read(index).tobytes() == slab(index)
            assert len(os.listdir("/proc/self/fd")) <= before + 4
