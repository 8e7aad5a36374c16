"""Which decoder takes a compressed frame must not change its pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.data import get_testdata_file

from lvm_med_monai.slices.dicom import codecs as dicom_codecs
from lvm_med_monai.slices.dicom.codecs import decoder_fault
from lvm_med_monai.slices.inputs.walk import iter_stacks
from lvm_med_monai.slices.stack import Reject, Stack
from tests.slices.conformance_cases import CASES

pytest.importorskip("data_store")

FASTER = [
    "MR_small_jp2klossless.dcm",
    "emri_small_jpeg_2k_lossless.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "J2K_pixelrep_mismatch.dcm",
    "JPEG-LL.dcm",
    "JPGLosslessP14SV1_1s_1f_8b.dcm",
    "RG1_J2KR.dcm",
]
CASES_IN_CODECS = ["jpeg_lossless", "jpeg_lossless_signed", "htj2k_lossless", "jpeg_2000_lossless", "jpeg_ls_lossless"]


def only(path: Path) -> Stack:
    (stack,) = iter_stacks(path)
    assert isinstance(stack, Stack), stack
    return stack


@pytest.mark.parametrize("name", FASTER)
def test_optional_decoder_changes_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(get_testdata_file(name, download=False))
    with_it = only(path).array()
    monkeypatch.setattr(dicom_codecs, "has_imagecodecs", lambda: False)
    assert np.array_equal(with_it, only(path).array())


@pytest.mark.parametrize("name", CASES_IN_CODECS)
def test_cases_without_the_optional_decoder(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicom_codecs, "has_imagecodecs", lambda: False)
    truth = CASES[name](tmp_path)
    assert np.array_equal(only(tmp_path).array(), truth.stacks[0].values)


def test_baseline_jpeg_of_both_decoders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import imagecodecs

    from tests.slices.conformance_codecs import put_stream
    from tests.slices.factories import dicom_slice, save, stored_pixels

    pixels = (stored_pixels(0) >> 4).astype(np.uint8)
    dataset = dicom_slice(0, BitsAllocated=8, BitsStored=8, HighBit=7)
    put_stream(dataset, "1.2.840.10008.1.2.4.50", imagecodecs.jpeg8_encode(pixels, level=80))
    path = save(dataset, tmp_path / "a.dcm")
    with_it = only(path).array()
    assert np.abs(with_it + 1024 - pixels.astype(int)).max() < 40
    monkeypatch.setattr(dicom_codecs, "has_imagecodecs", lambda: False)
    assert np.array_equal(with_it, only(path).array())


@pytest.mark.parametrize(
    ("syntax", "bits", "colour", "words"),
    [
        ("1.2.840.10008.1.2.4.51", 12, False, "pip install lvm-med-monai[codecs]"),
        ("1.2.840.10008.1.2.4.110", 12, False, "pip install lvm-med-monai[codecs]"),
        ("1.2.840.10008.1.2.4.110", 8, True, "grey"),
        ("1.2.840.10008.1.2.4.92", 12, False, "1.2.840.10008.1.2.4.92"),
        ("1.2.840.10008.1.2.4.102", 8, True, "transcode"),
        ("1.3.6.1.4.1.9999.1", 8, False, "(private)"),
    ],
)
def test_fault_names_the_cure(
    syntax: str, bits: int, colour: bool, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dicom_codecs, "has_imagecodecs", lambda: False)
    assert words in (decoder_fault(syntax, bits, colour) or "")


@pytest.mark.parametrize("syntax", dicom_codecs.PLUGINS)
def test_no_fault_of_eight_bits(syntax: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicom_codecs, "has_imagecodecs", lambda: False)
    assert decoder_fault(syntax, 8, colour=True) is None


def test_missing_decoder_is_a_reject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicom_codecs, "has_imagecodecs", lambda: False)
    CASES["jpeg_xl_lossless"](tmp_path)
    (reject,) = iter_stacks(tmp_path)
    assert isinstance(reject, Reject)
    assert reject.reason == "unsupported"
