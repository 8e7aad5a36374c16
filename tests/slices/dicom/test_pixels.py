"""Files that pydicom and pydicom-data carry, as an oracle: equal pixels in several encodings, and pydicom's values."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

from lvm_med_monai.slices.dicom.codecs import PLUGINS
from lvm_med_monai.slices.inputs.walk import iter_stacks
from lvm_med_monai.slices.stack import Stack

pytest.importorskip("data_store")


def packaged(name: str) -> Path:
    path = get_testdata_file(name, download=False)
    assert path is not None, f"{name} is in neither pydicom nor pydicom-data"
    return Path(path)


def only(name: str) -> Stack:
    (stack,) = iter_stacks(packaged(name))
    assert isinstance(stack, Stack), stack
    return stack


@pytest.mark.parametrize(
    "name",
    ["CT_small.dcm", "J2K_pixelrep_mismatch.dcm", "JPEG-LL.dcm", "JPEG2000.dcm", "image_dfl.dcm", "bad_sequence.dcm"],
)
def test_values_of_pydicom(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(packaged(name))
        slope, intercept = float(dataset.get("RescaleSlope", 1)), float(dataset.get("RescaleIntercept", 0))
        expected = dataset.pixel_array * slope + intercept
    assert np.array_equal(only(name).frame(0), expected)


@pytest.mark.parametrize(
    "name", ["SC_ybr_full_uncompressed.dcm", "SC_rgb_rle.dcm", "SC_rgb_jpeg.dcm", "examples_ybr_color.dcm"]
)
def test_rgb_of_pydicom(name: str) -> None:
    stack = only(name)
    expected = pydicom.dcmread(packaged(name)).pixel_array.reshape(stack.n_slices, stack.height, stack.width, 3)
    assert stack.dtype == np.uint8
    assert np.array_equal(stack.frame(stack.n_slices - 1), expected[-1])


def test_wide_rgb_keeps_the_high_byte() -> None:
    assert np.array_equal(only("SC_rgb_16bit.dcm").frame(0), only("SC_rgb.dcm").frame(0))


def test_modality_lut_is_a_table() -> None:
    dataset = pydicom.dcmread(packaged("mlut_18.dcm"))
    item = dataset.ModalityLUTSequence[0]
    table = np.array(item.LUTData) if not isinstance(item.LUTData, bytes) else np.frombuffer(item.LUTData, "<u2")
    first = item.LUTDescriptor[1]
    expected = table[np.clip(dataset.pixel_array.astype(int) - first, 0, len(table) - 1)]
    assert np.array_equal(only("mlut_18.dcm").frame(0), expected)


def test_monochrome1_radiograph() -> None:
    stack = only("RG1_UNCR.dcm")
    stored = pydicom.dcmread(packaged("RG1_UNCR.dcm"))
    assert np.array_equal(stack.frame(0), 2**stored.BitsStored - 1 - stored.pixel_array.astype(int))
    assert "monochrome1" in stack.flags


def test_enhanced_ct_has_geometry_and_hu_of_each_frame() -> None:
    stack = only("eCT_Supplemental.dcm")
    assert stack.units == "HU"
    assert stack.geometry.plane == "axial"
    assert stack.array().min() >= -1024


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("rtplan.dcm", "not_image"),
        ("rtstruct.dcm", "not_image"),
        ("rtdose.dcm", "not_image"),
        ("test-SR.dcm", "not_image"),
        ("waveform_ecg.dcm", "not_image"),
        ("liver.dcm", "not_image"),
        ("DICOMDIR", "dicomdir"),
        ("MR_truncated.dcm", "truncated"),
        ("README.txt", "unrecognised"),
    ],
)
def test_rejects(name: str, reason: str) -> None:
    assert [getattr(result, "reason", None) for result in iter_stacks(packaged(name))] == [reason]


def test_every_decoder_is_there() -> None:
    from pydicom.pixels import get_decoder

    assert all(plugin in get_decoder(uid).available_plugins for uid, plugin in PLUGINS.items())
