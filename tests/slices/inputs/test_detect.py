from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from lvm_med_monai.slices.inputs.detect import first_bytes, kind_of


def tar(first: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        file.addfile(tarfile.TarInfo(first))
    return buffer.getvalue()


V7 = bytearray(tar("a")[:512])
V7[257:265] = bytes(8)  # no magic, as tar wrote before 1988
V7[148:156] = b"        "
V7[148:156] = b"%06o\0 " % sum(V7)


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("a.png", bytes(128) + b"DICM" + bytes(9), "dicom"),
        ("a.png", b"II*\x00" + bytes(124) + b"DICM", "dicom"),
        ("a", b"\x08\x00\x05\x00" + bytes(200), "dicom"),
        ("a.NII", b"x", "nifti"),
        ("a.nii.gz", gzip.compress(b"x", mtime=0), "nifti"),
        ("a.mgz", gzip.compress(tar("a"), mtime=0), "nifti"),
        ("a.mhd", b"ObjectType = Image", "itk"),
        ("a.bin", b"NRRD0005\n", "itk"),
        ("a", b"\x89PNG\r\n\x1a\n", "picture"),
        ("a.dcm", b"\xff\xd8\xff\xe0", "picture"),
        ("a", b"\x89HDF\r\n\x1a\n" + bytes(600), "hdf5"),
        ("a.h5", b"not that", "unknown"),
        ("a", b"PK\x03\x04" + bytes(600), "zip"),
        ("a.zip", b"PK\x05\x06" + bytes(18), "zip"),
        ("a.zip", b"not that", "unknown"),
        ("a", tar("a"), "tar"),
        ("a", tar("BM.bmp"), "tar"),
        ("a", tar("II*"), "tar"),
        ("a", bytes(V7), "tar"),
        ("a", gzip.compress(tar("a"), mtime=0), "tar"),
        ("a.tar", tar("a")[:511], "unknown"),
        ("a.tar", tar("a").replace(b"0000644", b"0000744"), "unknown"),
        ("a.tar", bytes(1024), "unknown"),
        ("a.gz", gzip.compress(b"text", mtime=0), "unknown"),
        ("a.gz", gzip.compress(tar("a"), mtime=0)[:30], "unknown"),
        ("a", b"", "unknown"),
        ("a.nii", b"", "unknown"),
    ],
)
def test_kinds(name: str, data: bytes, kind: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    assert kind_of(path, first_bytes(path)) == kind


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    assert first_bytes(tmp_path / "gone") == b""
