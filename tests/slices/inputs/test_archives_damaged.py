from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from lvm_med_monai.slices import read_manifest, read_rejects, verify
from lvm_med_monai.slices.inputs import archives
from tests.slices.packing import gzipped, outcomes, png, run, tarred, zipped


def test_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "FREE_BYTES", 1 << 20)
    bomb = {f"{i}.png": bytes(30 << 20) for i in range(2)}
    for pack, name in ((zipped, "a.zip"), (gzipped, "a.tgz")):
        _, rejects = outcomes(pack(tmp_path / name, bomb))
        assert rejects == {name: "too_large"}
    _, rejects = outcomes(gzipped(tmp_path / "b.tgz", {"small.png": png()}))
    assert rejects == {}
    monkeypatch.setattr(archives, "MAX_MEMBERS", 3)
    _, rejects = outcomes(zipped(tmp_path / "many.zip", {f"{i}.txt": b"x" for i in range(4)}))
    assert rejects == {"many.zip": "too_large"}


def test_a_bomb_that_declares_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "FREE_BYTES", 1 << 20)
    archive = zipped(tmp_path / "a.zip", {"a.png": bytes(30 << 20)})
    data = bytearray(archive.read_bytes())
    for signature, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        place = data.find(signature) + offset
        data[place : place + 4] = (100).to_bytes(4, "little")  # the declared size
    archive.write_bytes(data)
    _, rejects = outcomes(archive)
    assert rejects in ({"a.zip": "too_large"}, {"a.png": "corrupt"})


@pytest.mark.parametrize(("keep", "incomplete"), [(0.8, True), (0.5, True), (0.03, False)])
@pytest.mark.parametrize(("pack", "name"), [(tarred, "a.tar"), (gzipped, "a.tgz"), (zipped, "a.zip")])
def test_truncated_archives(
    keep: float, incomplete: bool, pack: Callable[[Path, dict[str, bytes]], Path], name: str, tmp_path: Path
) -> None:
    archive = pack(tmp_path / name, {f"{i:02d}.png": png(i) for i in range(20)})
    data = archive.read_bytes()
    archive.write_bytes(data[: int(keep * len(data))])
    summary = run(tmp_path / name, tmp_path)
    result = verify(tmp_path / "out")
    assert result.ok, result.faults
    reasons = {row["reason"] for row in read_rejects(tmp_path / "out").to_pylist()}
    if name == "a.zip":
        assert (summary.slices, reasons) == (0, {"corrupt"})  # the list of members was at the end
    elif summary.slices:
        assert "truncated" in reasons
        assert all("missing" in row["flags"] for row in read_manifest(tmp_path / "out").to_pylist())
    else:
        assert not incomplete
        assert reasons


def test_a_damaged_head_in_a_tar(tmp_path: Path) -> None:
    archive = tarred(tmp_path / "a.tar", {f"{i}.png": png(i) for i in range(3)})
    data = bytearray(archive.read_bytes())
    place = data.find(b"1.png")
    data[place + 150] ^= 0xFF  # the checksum
    archive.write_bytes(data)
    stacks, rejects = outcomes(archive)
    assert (len(stacks), rejects) == (1, {"a.tar": "truncated"})


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.zip", b"PK\x05\x06" + bytes(18), "empty"),
        ("a.zip", b"PK\x03\x04" + bytes(100), "corrupt"),
        ("a.gz", gzip.compress(b"hello", mtime=0), "unrecognised"),
        ("a.gz", b"\x1f\x8b" + bytes(20), "unrecognised"),
        ("a.tar", bytes(10240), "unrecognised"),
    ],
)
def test_no_archives(name: str, data: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(data)
    assert run(tmp_path / "in", tmp_path).rejected == {reason: 1}
    assert outcomes(tmp_path / "in")[1] == {name: reason}
