from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lvm_med_monai.slices.identity import KEY_BYTES, Identities, load_key


def test_a_key_is_made_once_by_whoever_is_first(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: load_key(tmp_path / "new" / "key", tmp_path / "out"), range(64)))
    assert len(keys) == 1
    assert len(keys.pop()) == KEY_BYTES
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["key"]
    assert stat.S_IMODE((tmp_path / "new" / "key").stat().st_mode) == 0o600


def test_a_key_that_is_there_is_kept(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"k" * 16)
    assert load_key(tmp_path / "key", tmp_path / "out") == b"k" * 16


def test_a_key_beside_the_slices_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="lies inside of the output"):
        load_key(tmp_path / "out" / "key", tmp_path / "out")


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 16 bytes"):
        Identities(b"short")


def test_hashes() -> None:
    one, other = Identities(b"k" * 16), Identities(b"l" * 16)
    assert one.hash("a", "b", "c") == Identities(b"k" * 16).hash("a", "b", "c")
    names = [("a", "b", "c"), ("a", "bc"), ("ab", "c"), ("a", "c", "b"), ("a", os.fsdecode(b"\xff"))]
    assert len({*(one.hash(*name) for name in names), other.hash(*names[0])}) == len(names) + 1
