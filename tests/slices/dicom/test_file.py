"""Headers that are longer than one read, deflated data sets, and values in every encoding."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from lvm_med_monai.slices.dicom import tags
from lvm_med_monai.slices.dicom.attributes import Attributes, Raw
from lvm_med_monai.slices.dicom.deflate import PIECE_BYTES, inflate, inflated_length
from lvm_med_monai.slices.dicom.file import read_contents
from lvm_med_monai.slices.dicom.scanner import HEAD_BYTES, UnusualError, scan
from tests.slices.dicom_checks import read
from tests.slices.factories import dicom_slice, save, series, stored_pixels

SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian]


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.name)
@pytest.mark.parametrize("length", [0, HEAD_BYTES - 1500, HEAD_BYTES - 800, HEAD_BYTES, 5 * HEAD_BYTES])
def test_long_header(tmp_path: Path, syntax: str, length: int) -> None:
    """A private element and nested sequences push the attributes over every border of a read."""
    dataset, item = dicom_slice(0), Dataset()
    item.ReferencedSOPInstanceUID = "1.2.3"
    dataset.ReferencedImageSequence = Sequence([item] * 40)
    dataset["ReferencedImageSequence"].is_undefined_length = True
    dataset.private_block(0x0019, "MAKER", create=True).add_new(1, "OB", bytes(length + length % 2))
    dataset.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        dataset.PixelData = stored_pixels(0).astype(">u2").tobytes()
        dataset["PixelData"].VR = "OW"
    path = save(dataset, tmp_path / "a")
    contents = read_contents(path)
    assert contents.attributes.integer(tags.ROWS) == 40
    assert contents.attributes.numbers(tags.PIXEL_SPACING, 2) == (0.75, 0.5)
    assert contents.attributes.text(tags.MODALITY) == "CT"
    assert contents.attributes.integer(tags.INSTANCE_NUMBER) == 1
    assert contents.pixels is not None
    assert path.read_bytes()[contents.pixels.offset :] == dataset.PixelData
    (stack,), _ = read(tmp_path)
    assert np.array_equal(stack.frame(0), stored_pixels(0).astype(int) - 1024)


@pytest.mark.parametrize("syntax", SYNTAXES[:2], ids=lambda uid: uid.name)
def test_ordinary_files_are_scanned(tmp_path: Path, syntax: str) -> None:
    dataset = dicom_slice(0)
    dataset.file_meta.TransferSyntaxUID = syntax
    path = save(dataset, tmp_path / "a")
    with path.open("rb") as file:
        assert scan(file, file.read(HEAD_BYTES)).syntax == syntax


@pytest.mark.parametrize("cut", [0, 3, 100, 131, 140, 300, 700])
def test_scanner_refuses_what_is_cut(tmp_path: Path, cut: int) -> None:
    path = save(dicom_slice(0), tmp_path / "a")
    path.write_bytes(path.read_bytes()[:cut])
    with path.open("rb") as file, pytest.raises(UnusualError):
        scan(file, file.read(HEAD_BYTES))


@pytest.mark.parametrize(
    ("vr", "value", "method", "expected"),
    [
        ("IS", b"12 ", "integer", 12),
        ("IS", b"+12", "integer", 12),
        ("IS", b"-3", "integer", -3),
        ("IS", b"", "integer", None),
        ("US", b"\x02\x01", "integer", 258),
        ("SS", b"\xff\xff", "integer", -1),
        ("DS", b"1.5\\-2e1 ", "numbers", (1.5, -20.0)),
        ("DS", b"1.5", "numbers", None),
        ("DS", b"1.5\\nan", "numbers", None),
        ("DS", b"", "numbers", None),
        ("FD", np.array([1.5, 2.5]).tobytes(), "numbers", (1.5, 2.5)),
        ("LO", b"a b \0", "text", "a b"),
        ("CS", b"A\\B ", "texts", ("A", "B")),
        ("CS", b"", "texts", ()),
    ],
)
def test_values(vr: str, value: bytes, method: str, expected: object) -> None:
    tag = {"text": tags.PATIENT_ID, "texts": tags.IMAGE_TYPE}.get(method, tags.PIXEL_SPACING)
    attributes = Attributes({tag: Raw(vr, value)}, little_endian=True)
    found = getattr(attributes, method)(tag, *([2] if method == "numbers" else []))
    assert found == expected


def test_text_of_another_character_set() -> None:
    raw = {tags.CHARACTER_SET: Raw("CS", b"ISO_IR 100"), tags.PATIENT_ID: Raw("LO", "Zoë 1".encode("latin-1"))}
    assert Attributes(raw, little_endian=True).text(tags.PATIENT_ID) == "Zoë 1"


@pytest.mark.parametrize(("method", "value"), [("integer", b"12a"), ("numbers", b"1.x\\2")])
def test_damaged_values_raise(method: str, value: bytes) -> None:
    attributes = Attributes({1: Raw("IS" if method == "integer" else "DS", value)}, little_endian=True)
    with pytest.raises(ValueError, match=r"invalid literal|could not convert"):
        getattr(attributes, method)(1, *([2] if method == "numbers" else []))


@pytest.mark.parametrize(("start", "length"), [(0, 10), (5, 0), (PIECE_BYTES - 3, 10), (2 * PIECE_BYTES, 1 << 30)])
def test_inflate(start: int, length: int) -> None:
    data = np.random.default_rng(0).integers(0, 9, 2 * PIECE_BYTES + 77, np.uint8).tobytes()
    engine = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = engine.compress(data) + engine.flush()
    assert inflate(io.BytesIO(packed), start, length) == data[start : start + length]
    assert inflated_length(io.BytesIO(packed), 1 << 40) == len(data)
    assert inflated_length(io.BytesIO(packed), 10) <= PIECE_BYTES


def test_whole_stack_equals_its_frames_where_types_differ(tmp_path: Path) -> None:
    """A fractional slope in one slice makes the stack float32, as wide as the stored integers of the others."""
    values = [stored_pixels(i).astype(np.int32) for i in range(3)]
    wide = {"BitsAllocated": 32, "BitsStored": 32, "HighBit": 31, "Modality": "PT", "RescaleIntercept": 0}
    series(tmp_path, 3, lambda i: {"pixels": values[i], "RescaleSlope": 0.5 if i == 1 else 1, **wide})
    (stack,), _ = read(tmp_path)
    assert stack.dtype == np.float32
    assert np.array_equal(stack.array(), [values[0], values[1] * 0.5, values[2]])
    assert np.array_equal(stack.array(), [stack.frame(i) for i in range(3)])
