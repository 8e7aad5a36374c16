from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.uid import JPEG2000Lossless

from lvm_med_monai.slices import Source, extract, read_manifest, verify
from lvm_med_monai.slices.inputs.walk import iter_stacks
from lvm_med_monai.slices.stack import FrameError
from tests.slices.factories import compressed, dicom_slice, save, series
from tests.slices.packing import ALL, gzipped, outcomes, pixels, png, run, tarred, zipped


@pytest.mark.parametrize(
    ("name", "pack"),
    [("a.zip", zipped), ("a.tar", tarred), ("a.tar.gz", gzipped), ("a.tgz", gzipped), ("no-suffix", gzipped)],
)
def test_an_archive_gives_what_its_folder_gives(
    name: str, pack: Callable[[Path, dict[str, bytes]], Path], tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    for uid in ("1.1", "1.2"):
        series(folder, 4, lambda i, uid=uid: {"SeriesInstanceUID": uid}, prefix=uid)
    save(dicom_slice(7, SeriesInstanceUID=None, ImagePositionPatient=None), folder / "x" / "loose.dcm")
    # interleaved, and not in the order of names
    files = sorted(folder.rglob("*.dcm"), key=lambda path: (path.name[3:], path.name))
    archive = pack(tmp_path / "packed" / name, {f.relative_to(folder).as_posix(): f.read_bytes() for f in files})
    packed, plain = run(archive, tmp_path), run(folder, tmp_path, "plain")
    assert (packed.files_in, packed.slices) == (plain.files_in, plain.slices) == (9, 9)
    assert packed.rejected == plain.rejected == {}
    expected = pixels(tmp_path / "plain")
    found = pixels(tmp_path / "out")
    assert sorted(found.values()) == sorted(expected.values())
    named = {key[0] for key in found} & {key[0] for key in expected}
    assert len(named) == 2
    by_series = {(k[0], k[2]): v for k, v in expected.items() if k[0] in named}
    assert by_series == {(k[0], k[2]): v for k, v in found.items() if k[0] in named}
    assert verify(tmp_path / "out").ok


def test_stacks_outlive_the_iterator_and_clean_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "spool"))
    (tmp_path / "spool").mkdir()
    archive = zipped(tmp_path / "in" / "a.zip", {"one.png": png(1), "two.png": png(2), "bad.txt": b"x"})
    stacks, rejects = outcomes(tmp_path / "in")
    assert rejects == {"bad.txt": "unrecognised"}
    assert [stack.sources for stack in stacks] == [(archive / "one.png",), (archive / "two.png",)]
    assert np.array_equal(stacks[1].frame(0), np.asarray(Image.open(io.BytesIO(png(2)))))
    folders = list((tmp_path / "spool").iterdir())
    assert len(folders) == 1
    assert stat.S_IMODE(folders[0].stat().st_mode) == 0o700
    del stacks
    assert not list((tmp_path / "spool").iterdir())


def test_errors_name_the_member(tmp_path: Path) -> None:
    data = bytearray(save(compressed(0, JPEG2000Lossless), tmp_path / "x.dcm").read_bytes())
    start = data.find(b"\xff\x4f\xff\x51")
    data[start : start + 40] = bytes(40)
    archive = zipped(tmp_path / "a.zip", {"x/y.dcm": bytes(data)})
    for read in (lambda stack: stack.frame(0), lambda stack: stack.array()):
        with pytest.raises(FrameError) as error:
            read(outcomes(archive)[0][0])
        assert error.value.reject.path == archive / "x" / "y.dcm"
    assert run(archive, tmp_path).rejected == {"corrupt": 1}


def test_companions_find_each_other(tmp_path: Path) -> None:
    header = b"ObjectType = Image\nNDims = 3\nDimSize = 40 40 3\nElementSpacing = 1 1 2\nElementType = MET_SHORT\n"
    header += b"ElementDataFile = scan 1.raw\n"
    values = np.random.default_rng(0).integers(0, 999, (3, 40, 40)).astype(np.int16)
    for pack, name in ((zipped, "a.zip"), (gzipped, "a.tgz")):
        members = {"case/scan 1.mhd": header, "case/scan 1.raw": values.tobytes(), "other/scan 1.raw": b"junk"}
        stacks, rejects = outcomes(pack(tmp_path / name, members))
        assert rejects == {"scan 1.raw": "unrecognised"}
        assert np.array_equal(stacks[0].array(), values)
        assert [path.name for path in stacks[0].sources] == ["scan 1.mhd", "scan 1.raw"]


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_names_never_become_paths(pack: Callable[[Path, dict[str, bytes]], Path], tmp_path: Path) -> None:
    names = [
        "../../evil.png",
        "/etc/evil.png",
        "a/../../evil.png",
        "..\\evil.png",
        "é" * 200 + ".png",
        "con:.png",
        "-o",
    ]
    archive = pack(tmp_path / "deep" / "er" / "a.bin", {name: png(i) for i, name in enumerate(names)})
    summary = run(archive, tmp_path)
    assert (summary.files_in, summary.slices) == (len(names), len(names))
    assert not list(tmp_path.rglob("*evil*"))
    assert not Path("/etc/evil.png").exists()
    assert verify(tmp_path / "out").ok


def test_equal_names_are_told_apart(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w") as file:
        for seed, name in enumerate(("a.png", "a.png", "./a.png", "x//a.png", "x/a.png", "a.png#2")):
            info = tarfile.TarInfo(name)
            info.size = len(png(seed))
            file.addfile(info, io.BytesIO(png(seed)))
    summary = run(archive, tmp_path)
    assert (summary.files_in, summary.slices) == (6, 6)
    assert len({row["sha256_pixels"] for row in read_manifest(tmp_path / "out").to_pylist()}) == 6


def test_odd_members_of_a_tar(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w") as file:
        for kind, name in (
            (tarfile.SYMTYPE, "soft"),
            (tarfile.LNKTYPE, "hard"),
            (tarfile.CHRTYPE, "device"),
            (tarfile.FIFOTYPE, "pipe"),
            (tarfile.DIRTYPE, "folder"),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            file.addfile(info)
        for name in ("good.png", ".hidden.png", "__MACOSX/._good.png"):
            info = tarfile.TarInfo(name)
            info.size = len(png())
            file.addfile(info, io.BytesIO(png()))
    stacks, rejects = outcomes(archive)
    assert len(stacks) == 1
    assert rejects == {
        "soft": "symlink",
        "hard": "symlink",
        "device": "unsupported",
        "pipe": "unsupported",
        ".hidden.png": "hidden",
        "._good.png": "hidden",
    }


def test_odd_members_of_a_zip(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as file:
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(link, "/etc/passwd")
        file.writestr("secret.png", png(1))
        file.writestr("broken.png", png(2))
        file.writestr("inner.zip", zipped(tmp_path / "inner.zip", {"a.png": png(3)}).read_bytes())
        file.writestr("inner.tar", tarred(tmp_path / "inner.tar", {"a.png": png(3)}).read_bytes())
        file.writestr("good.png", png(4))
        file.mkdir("folder") if hasattr(file, "mkdir") else None
    data = bytearray(archive.read_bytes())
    for signature, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):  # the bit of encryption, in both heads
        place = data.find(b"secret.png", 0 if signature == b"PK\x03\x04" else data.find(b"PK\x01\x02"))
        data[data.rfind(signature, 0, place) + offset] |= 1
    place = data.find(png(2))
    data[place + 60] ^= 0xFF
    archive.write_bytes(data)
    stacks, rejects = outcomes(archive)
    assert [stack.sources[0].name for stack in stacks] == ["good.png"]
    assert rejects == {
        "link": "symlink",
        "secret.png": "unsupported",
        "broken.png": "corrupt",
        "inner.zip": "unsupported",
        "inner.tar": "unsupported",
    }
    assert "password" in next(r.detail for r in iter_stacks(archive) if r.path.name == "secret.png")


def test_identities_of_members(tmp_path: Path) -> None:
    zipped(tmp_path / "in" / "a.zip", {"sub-1/x.png": png(1), "sub-2/x.png": png(2)})
    zipped(tmp_path / "in" / "b.zip", {"sub-1/y.png": png(3)})
    source = Source(tmp_path / "in", patient="(sub-[0-9]+)/")
    extract([source], tmp_path / "out", ALL, tmp_path / "key", progress=False)
    rows = read_manifest(tmp_path / "out").to_pylist()
    assert len({row["source_h"] for row in rows}) == len({row["slice_id"] for row in rows}) == 3
    assert len({row["patient_h"] for row in rows}) == 2
