"""Conformance cases after the table in the project's survey: values, order, positions, flags and reasons."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    SegmentationStorage,
)

from lvm_med_monai.slices.stack import FrameError
from tests.slices.dicom_checks import check_ct, read
from tests.slices.factories import SPACING_Z, compressed, dicom_slice, enhanced, save, series, stored_pixels


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda i: {}, id="plain"),
        pytest.param(lambda i: {"InstanceNumber": 6 - i}, id="reversed instance numbers"),
        pytest.param(lambda i: {"InstanceNumber": None}, id="no instance number"),
        pytest.param(lambda i: {"SOPClassUID": "", "SeriesInstanceUID": "", "StudyInstanceUID": ""}, id="empty UIDs"),
        pytest.param(lambda i: {"AcquisitionNumber": i}, id="an acquisition number a slice"),
        pytest.param(lambda i: {"pixels": stored_pixels(i) | 0xF000}, id="garbage in high bits"),
    ],
)
def test_one_series(tmp_path: Path, change) -> None:
    series(tmp_path, change=change)
    stacks, rejects = read(tmp_path)
    assert not rejects
    assert [stack.flags for stack in stacks] == [frozenset()]
    check_ct(stacks[0], [0, 1, 2, 3, 4, 5])


def test_signed_12_bit(tmp_path: Path) -> None:
    values = stored_pixels(0).astype(np.int16) - 2048
    save(dicom_slice(0, pixels=values & 0x0FFF, PixelRepresentation=1, RescaleIntercept=0), tmp_path / "a")
    assert np.array_equal(read(tmp_path)[0][0].frame(0), values)


def test_pet_slope_of_each_slice(tmp_path: Path) -> None:
    series(tmp_path, change=lambda i: {"Modality": "PT", "RescaleSlope": 0.5 + i, "RescaleIntercept": 0})
    (stack,), _ = read(tmp_path)
    assert stack.units == "raw"
    assert stack.array().dtype == np.float32
    assert np.allclose(stack.array(), [stored_pixels(i) * (0.5 + i) for i in range(6)])


@pytest.mark.parametrize("uid", [RLELossless, JPEG2000Lossless, JPEGLSLossless])
def test_compressed(tmp_path: Path, uid: str) -> None:
    for i in range(3):
        save(compressed(i, uid), tmp_path / str(i))
    (stack,), rejects = read(tmp_path)
    assert not rejects
    assert stack.transfer_syntax == uid
    check_ct(stack, [0, 1, 2])


@pytest.mark.parametrize("uid", [RLELossless, JPEG2000Lossless, JPEGLSLossless])
def test_compressed_and_truncated(tmp_path: Path, uid: str) -> None:
    path = save(compressed(0, uid), tmp_path / "0")
    path.write_bytes(path.read_bytes()[:-50])
    stacks, (reject,) = read(tmp_path)
    assert not stacks
    assert reject.reason == "truncated"


def test_damaged_stream_is_a_frame_error(tmp_path: Path) -> None:
    path = save(compressed(0, JPEG2000Lossless), tmp_path / "0")
    data = bytearray(path.read_bytes())
    start = data.find(b"\xff\x4f\xff\x51")
    data[start : start + 40] = bytes(40)
    path.write_bytes(data)
    (stack,), _ = read(tmp_path)
    with pytest.raises(FrameError) as error:
        stack.frame(0)
    assert error.value.reject.path == path
    assert str(tmp_path) not in error.value.reject.detail


@pytest.mark.parametrize("uid", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_other_encodings(tmp_path: Path, uid: str) -> None:
    dataset = dicom_slice(0)
    dataset.file_meta.TransferSyntaxUID = uid
    save(dataset, tmp_path / "0")
    check_ct(read(tmp_path)[0][0], [0])


def test_big_endian(tmp_path: Path) -> None:
    dataset = dicom_slice(0)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    dataset.PixelData = stored_pixels(0).astype(">u2").tobytes()
    dataset["PixelData"].VR = "OW"
    save(dataset, tmp_path / "0")
    check_ct(read(tmp_path)[0][0], [0])


def test_no_preamble_and_no_meta(tmp_path: Path) -> None:
    dataset = dicom_slice(0)
    del dataset.file_meta
    dataset.save_as(tmp_path / "0", implicit_vr=True, little_endian=True)
    (stack,), rejects = read(tmp_path)
    assert not rejects
    assert stack.transfer_syntax == ImplicitVRLittleEndian
    check_ct(stack, [0])


def test_monochrome1_is_inverted_for_display_with_its_window(tmp_path: Path) -> None:
    common = {
        "Modality": "CR",
        "RescaleSlope": None,
        "RescaleIntercept": None,
        "WindowCenter": 1000,
        "WindowWidth": 401,
    }
    save(dicom_slice(0, PhotometricInterpretation="MONOCHROME1", **common), tmp_path / "0")
    (stack,), _ = read(tmp_path)
    assert np.array_equal(stack.frame(0), 4095 - stored_pixels(0).astype(int))
    assert stack.display_range == (4095 - 1199.5, 4095 - 799.5)
    assert {"monochrome1"} <= stack.flags
    assert stack.units == "display"


def test_monochrome1_ct_keeps_its_hu(tmp_path: Path) -> None:
    save(dicom_slice(0, PhotometricInterpretation="MONOCHROME1"), tmp_path / "0")
    (stack,), _ = read(tmp_path)
    assert stack.flags == {"monochrome1"}
    check_ct(stack, [0])


@pytest.mark.parametrize("written", [-2000, 65536 - 2000], ids=["signed", "unsigned on a signed image"])
def test_padding_becomes_air(tmp_path: Path, written: int) -> None:
    values = stored_pixels(0).astype(np.int16)
    values[:5] = -2000
    dataset = dicom_slice(0, pixels=values, PixelRepresentation=1, BitsStored=16, HighBit=15)
    dataset.add_new(0x00280120, "SS" if written < 0 else "US", written)
    save(dataset, tmp_path / "0")
    (stack,), _ = read(tmp_path)
    assert stack.flags == {"padded"}
    assert (stack.frame(0)[:5] == -1024).all()
    assert np.array_equal(stack.frame(0)[5:], stored_pixels(0)[5:].astype(int) - 1024)


def test_ct_without_rescale_is_not_called_hu(tmp_path: Path) -> None:
    save(dicom_slice(0, RescaleSlope=None, RescaleIntercept=None), tmp_path / "0")
    (stack,), _ = read(tmp_path)
    assert stack.units == "raw"
    assert stack.flags == {"no_rescale"}


def test_enhanced_multi_frame(tmp_path: Path) -> None:
    order, slopes = [2, 0, 3, 1], [1.0, 2.0, 3.0, 4.0]
    save(enhanced(order, slopes), tmp_path / "0")
    (stack,), rejects = read(tmp_path)
    assert not rejects
    assert stack.flags == frozenset()
    assert np.allclose(stack.geometry.origins[:, 2], [0, SPACING_Z, 2 * SPACING_Z, 3 * SPACING_Z])
    for i in range(4):
        assert np.array_equal(stack.frame(i), stored_pixels(i) * slopes[order.index(i)])


def test_rgb_and_burned_in(tmp_path: Path) -> None:
    colour = np.stack([stored_pixels(i).astype(np.uint8) for i in range(3)], axis=-1)
    dataset = dicom_slice(0, Modality="US")
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PixelData = colour.tobytes()
    save(dataset, tmp_path / "0")
    (stack,), _ = read(tmp_path)
    assert np.array_equal(stack.frame(0), colour)
    assert stack.channels == 3
    assert "burned_in_risk" in stack.flags
    dataset.BurnedInAnnotation = "NO"
    save(dataset, tmp_path / "0")
    assert "burned_in_risk" not in read(tmp_path)[0][0].flags


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("not_image", {"SOPClassUID": SegmentationStorage}),
        ("unsupported", {"PhotometricInterpretation": "CMYK"}),
        ("too_large", {"Rows": 65535, "Columns": 65535}),
        ("too_large", {"NumberOfFrames": 2**31 - 1}),
        ("truncated", {"Rows": 4000}),
        ("corrupt", {"Rows": None}),
        ("corrupt", {"ImagePositionPatient": ["a", "b", "c"]}),
    ],
)
def test_rejects(tmp_path: Path, reason: str, change: dict) -> None:
    import pydicom.config

    mode, pydicom.config.settings.writing_validation_mode = pydicom.config.settings.writing_validation_mode, 0
    try:
        save(dicom_slice(0, **{k: v for k, v in change.items() if k != "ImagePositionPatient"}), tmp_path / "0")
    finally:
        pydicom.config.settings.writing_validation_mode = mode
    if "ImagePositionPatient" in change:
        data = (tmp_path / "0").read_bytes()
        (tmp_path / "0").write_bytes(data.replace(b"-20.0\\-10.0", b"-xx.0\\-10.0"))
    stacks, rejects = read(tmp_path)
    assert not stacks
    assert [r.reason for r in rejects] == [reason]


@pytest.mark.parametrize("cut", [200, 400, 900])
def test_cut_inside_the_header(tmp_path: Path, cut: int) -> None:
    path = save(dicom_slice(0), tmp_path / "0")
    path.write_bytes(path.read_bytes()[:cut])
    stacks, rejects = read(tmp_path)
    assert not stacks
    assert len(rejects) == 1


def test_identifiers_are_not_in_the_repr(tmp_path: Path) -> None:
    save(dicom_slice(0), tmp_path / "0")
    (stack,), _ = read(tmp_path)
    assert stack.patient_id
    assert stack.patient_id not in repr(stack)


def test_deflated_bomb_is_not_inflated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = dicom_slice(0)
    dataset.add_new(0x00091001, "OB", bytes(1 << 21))
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    path = save(dataset, tmp_path / "0")
    assert path.stat().st_size < 100_000
    for module in ("file", "header"):
        monkeypatch.setattr(f"lvm_med_monai.slices.dicom.{module}.INFLATED_HEADER_BYTES", 1 << 20)
    assert [reject.reason for reject in read(tmp_path)[1]] == ["too_large"]


def test_codestream_of_another_size_is_not_decoded(tmp_path: Path) -> None:
    path = save(compressed(0, JPEG2000Lossless), tmp_path / "0")
    data = bytearray(path.read_bytes())
    start = data.find(b"\xff\x4f\xff\x51")
    data[start + 8 : start + 16] = (60000).to_bytes(4, "big") * 2
    path.write_bytes(data)
    with pytest.raises(FrameError) as error:
        read(tmp_path)[0][0].frame(0)
    assert isinstance(error.value.__cause__, ValueError)


def test_damaged_rle_is_a_frame_error(tmp_path: Path) -> None:
    """The decoder may panic, which is no Exception; see `FrameDecoder.decode`."""
    whole = save(compressed(0, RLELossless), tmp_path / "0").read_bytes()
    start = whole.find(b"\xfe\xff\x00\xe0", whole.find(b"\xe0\x7f\x10\x00") + 20) + 8
    outcomes = set()
    for value in range(0, 256, 5):
        (tmp_path / "0").write_bytes(whole[: start + 64] + bytes([value]) * 60 + whole[start + 124 :])
        try:
            outcomes.add(type(read(tmp_path)[0][0].frame(0)))
        except FrameError as error:
            outcomes.add(type(error))
    assert FrameError in outcomes
