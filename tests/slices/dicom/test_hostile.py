"""Small files that ask for much: each ends in a reject, in a process that has little memory and little time."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from lvm_med_monai.slices import SlicePolicy, Source, extract, read_manifest
from tests.slices.factories import REPOSITORY, compressed, dicom_slice, save

MEMORY_BYTES = 3 << 29
"""Address space of the process; Python with pydicom takes half of it."""
SECONDS = 10
PROGRAM = """
import json, resource, sys, time
resource.setrlimit(resource.RLIMIT_AS, ({0}, {0}))
from lvm_med_monai.slices.stack import FrameError, Reject
from lvm_med_monai.slices.inputs.walk import iter_stacks
start, found = time.process_time(), []
for result in iter_stacks(sys.argv[1]):
    try:
        found.append(result.reason if isinstance(result, Reject) else result.frame(0).shape)
    except FrameError as error:
        found.append(error.reject.reason)
print(json.dumps([found, time.process_time() - start]))
"""


def deflated_bomb(path: Path) -> None:
    """1.5 GB of zeros in one private element before the pixels."""
    dataset = dicom_slice(0)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    data = save(dataset, path).read_bytes()
    meta = data[: 144 + int.from_bytes(data[140:144], "little")]
    length = 3 << 29
    head = struct.pack("<HH2sHL", 9, 0x1001, b"OB", 0, length)
    path.write_bytes(meta + flushed(head) + flushed(bytes(1 << 20)) * (length >> 20) + b"\x03\0")


def flushed(data: bytes) -> bytes:
    """A deflated block that can be repeated."""
    engine = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return engine.compress(data) + engine.flush(zlib.Z_FULL_FLUSH)


def deflated_pixels(path: Path) -> None:
    """1 GB behind the declared pixels."""
    dataset = dicom_slice(0)
    data = save(dataset, path).read_bytes()
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    deflated = save(dataset, path).read_bytes()
    body, meta = (d[144 + int.from_bytes(d[140:144], "little") :] for d in (data, deflated))
    meta = deflated[: len(deflated) - len(meta)]
    body = body[: -len(dataset.PixelData) - 4] + struct.pack("<L", 1 << 30) + dataset.PixelData
    path.write_bytes(meta + flushed(body) + flushed(bytes(1 << 20)) * 1024 + b"\x03\0")


def run_lengths(path: Path) -> None:
    save(compressed(0, RLELossless), path)
    patch(path, 0x00280010, 60000)
    patch(path, 0x00280011, 60000)


def run_lengths_within_limits(path: Path) -> None:
    save(compressed(0, RLELossless), path)
    patch(path, 0x00280010, 16000)
    patch(path, 0x00280011, 16000)


def patch(path: Path, tag: int, value: int) -> None:
    """Overwrite the value of a US element."""
    data = path.read_bytes()
    head = struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, b"US", 2)
    assert data.count(head) == 1
    path.write_bytes(data.replace(head + data[data.find(head) + 8 :][:2], head + struct.pack("<H", value)))


def largest_size(path: Path) -> None:
    save(dicom_slice(0, Rows=65535, Columns=65535), path)


def many_frames(path: Path) -> None:
    save(dicom_slice(0, NumberOfFrames=2**31 - 1), path)


def codestream(path: Path) -> None:
    """A J2K stream of 60000 x 60000 in a header of 40 x 48."""
    data = bytearray(save(compressed(0, JPEG2000Lossless), path).read_bytes())
    start = data.find(b"\xff\x4f\xff\x51")
    data[start + 8 : start + 16] = (60000).to_bytes(4, "big") * 2
    path.write_bytes(data)


def codestream_in_large_header(path: Path) -> None:
    codestream(path)
    patch(path, 0x00280010, 60000)
    patch(path, 0x00280011, 60000)


def nested_sequences(path: Path) -> None:
    """20,000 sequences of undefined length, one in the other, before the pixels."""
    data = save(dicom_slice(0), path).read_bytes()
    place = data.find(b"\x28\x00\x02\x00")
    depth = 20_000
    opened = struct.pack("<HH2sHL", 9, 0x1001, b"SQ", 0, 0xFFFFFFFF) + struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
    closed = struct.pack("<HHL", 0xFFFE, 0xE00D, 0) + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    # in the place of a group between those of the identifiers and the pixels
    opened = opened.replace(b"\x09\x00\x01\x10", b"\x21\x00\x01\x10")
    path.write_bytes(data[:place] + opened * depth + closed * depth + data[place:])


def nested_groups(path: Path) -> None:
    """The same in the functional groups, which are looked into."""
    nested_sequences(path)
    path.write_bytes(path.read_bytes().replace(b"\x21\x00\x01\x10SQ", b"\x28\x00\x00\x30SQ"))


def no_length(path: Path) -> None:
    """Pixels declared 4,294,967,280 bytes long."""
    data = bytearray(save(dicom_slice(0), path).read_bytes())
    place = data.find(b"\xe0\x7f\x10\x00OW")
    data[place + 8 : place + 12] = (0xFFFFFFF0).to_bytes(4, "little")
    path.write_bytes(data)


def long_value(path: Path) -> None:
    """Rows declared 4 GB long, in a header that pydicom has to read."""
    dataset = dicom_slice(0)
    del dataset.file_meta
    dataset.save_as(path, implicit_vr=True, little_endian=True)
    data = path.read_bytes()
    head = struct.pack("<HHL", 0x28, 0x10, 2)
    path.write_bytes(data[data.find(b"\x08\0") :].replace(head, struct.pack("<HHL", 0x28, 0x10, 0xFFFFFFF0)))


def endless_fragment(path: Path) -> None:
    data = save(compressed(0, RLELossless), path).read_bytes()
    start = data.find(b"\xfe\xff\x00\xe0", data.find(b"\xe0\x7f\x10\x00") + 20)
    path.write_bytes(data[: start + 4] + (0xFFFFFFF0).to_bytes(4, "little") + data[start + 8 :])


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (deflated_bomb, "too_large"),
        (deflated_pixels, [40, 48]),
        (run_lengths, "too_large"),
        (run_lengths_within_limits, "truncated"),
        (largest_size, "too_large"),
        (many_frames, "too_large"),
        (codestream, "corrupt"),
        (codestream_in_large_header, "too_large"),
        (nested_sequences, [40, 48]),
        (nested_groups, "corrupt"),
        (no_length, "truncated"),
        (long_value, "corrupt"),
        (endless_fragment, "truncated"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_small_file_that_asks_for_much(tmp_path: Path, make: Callable[[Path], None], expected: object) -> None:
    path = tmp_path / "file.dcm"
    make(path)
    assert path.stat().st_size < 4 << 20
    command = [sys.executable, "-c", PROGRAM.format(MEMORY_BYTES), str(path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=20 * SECONDS)
    found, seconds = json.loads(done.stdout)
    assert found == [expected]
    assert seconds < SECONDS


def test_truncated_deflate_is_told_from_a_bomb(tmp_path: Path) -> None:
    dataset = dicom_slice(0)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    path = save(dataset, tmp_path / "file.dcm")
    path.write_bytes(path.read_bytes()[:-60])
    from lvm_med_monai.slices.inputs.walk import iter_stacks

    assert [result.reason for result in iter_stacks(path)] in (["truncated"], ["corrupt"])


def test_paths_in_identifiers_name_no_file(tmp_path: Path) -> None:
    evil = "../../../../evil"
    dataset = dicom_slice(0)
    path = save(dataset, tmp_path / "in" / "file.dcm")
    data = path.read_bytes()
    series = b"1.2.3.4\0"
    head = struct.pack("<HH2sH", 0x20, 0x0E, b"UI", len(series))
    assert head + series in data
    replaced = struct.pack("<HH2sH", 0x20, 0x0E, b"UI", len(evil)) + evil.encode()
    path.write_bytes(data.replace(head + series, replaced))
    extract([Source(tmp_path / "in", "set")], tmp_path / "out", SlicePolicy(every_mm=0), progress=False)
    assert read_manifest(tmp_path / "out").num_rows == 1
    assert not [p for p in tmp_path.rglob("*") if "evil" in p.name]
    written = b"".join(p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file())
    assert b"evil" not in written
