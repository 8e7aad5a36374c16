"""Series in every transfer syntax."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from tests.slices.conformance import Truth, case, change_syntax, ct, frames_of, hu, unplaced
from tests.slices.conformance_colour import RGB
from tests.slices.conformance_pixels import MR, XC, one
from tests.slices.factories import compressed, dicom_slice, save, stored_pixels


def put_stream(dataset: Dataset, syntax: str, stream: bytes) -> None:
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate([stream])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True


def coded(folder: Path, syntax: str) -> Truth:
    for i in range(3):
        save(compressed(i, syntax), folder / f"{i * 3 % 7}.dcm")
    return Truth([ct(range(3))])


@case
def jpeg_2000_lossless(folder: Path) -> Truth:
    return coded(folder, JPEG2000Lossless)


@case
def jpeg_ls_lossless(folder: Path) -> Truth:
    return coded(folder, JPEGLSLossless)


@case
def run_lengths(folder: Path) -> Truth:
    return coded(folder, RLELossless)


def streamed(folder: Path, syntax: str, stream: bytes, values: np.ndarray, **changes: Any) -> Truth:
    dataset = dicom_slice(0, **changes)
    put_stream(dataset, syntax, stream)
    return one(folder, dataset, values)


@case
def jpeg_lossless(folder: Path) -> Truth:
    stream = imagecodecs.ljpeg_encode(stored_pixels(0), bitspersample=12)
    return streamed(folder, "1.2.840.10008.1.2.4.70", stream, hu(0))


@case
def jpeg_lossless_signed(folder: Path) -> Truth:
    values = stored_pixels(0).astype(np.int16) - 2048
    stream = imagecodecs.ljpeg_encode(values.view(np.uint16) & 0x0FFF, bitspersample=12)
    return streamed(folder, "1.2.840.10008.1.2.4.70", stream, values, PixelRepresentation=1, RescaleIntercept=0)


@case
def htj2k_lossless(folder: Path) -> Truth:
    return streamed(folder, "1.2.840.10008.1.2.4.201", imagecodecs.htj2k_encode(stored_pixels(0)), hu(0))


@case
def jpeg_xl_lossless(folder: Path) -> Truth:
    stream = imagecodecs.jpegxl_encode(stored_pixels(0), lossless=True)
    truth = streamed(folder, JPEG2000Lossless, stream, hu(0))
    change_syntax(folder / "a.dcm", JPEG2000Lossless, "1.2.840.10008.1.2.4.110")
    return truth


@case
def deflated(folder: Path) -> Truth:
    for i in range(3):
        dataset = dicom_slice(i)
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        save(dataset, folder / f"{i * 3 % 7}.dcm")
    return Truth([ct(range(3))])


@case
def big_endian(folder: Path) -> Truth:
    for i in range(3):
        dataset = dicom_slice(i)
        dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
        dataset.PixelData = stored_pixels(i).astype(">u2").tobytes()
        dataset["PixelData"].VR = "OW"
        save(dataset, folder / f"{i * 3 % 7}.dcm")
    return Truth([ct(range(3))])


@case
def big_endian_bytes_in_words(folder: Path) -> Truth:
    values = stored_pixels(0).astype(np.uint8)
    dataset = dicom_slice(0, **MR, BitsAllocated=8, BitsStored=8, HighBit=7)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    dataset.PixelData = values.reshape(-1, 2)[:, ::-1].tobytes()
    dataset["PixelData"].VR = "OW"
    return one(folder, dataset, values)


@case
def ybr_rct_in_jpeg_2000(folder: Path) -> Truth:
    stream = imagecodecs.jpeg2k_encode(RGB, codecformat="j2k", reversible=True, level=0, mct=True)
    dataset = frames_of(dicom_slice(0, **XC), RGB)
    dataset.SamplesPerPixel, dataset.PlanarConfiguration, dataset.PhotometricInterpretation = 3, 0, "YBR_RCT"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    put_stream(dataset, JPEG2000Lossless, stream)
    save(dataset, folder / "a.dcm")
    return Truth([unplaced([RGB])])
