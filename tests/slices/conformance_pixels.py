"""Series whose pixels are hard to read right: bits, tables, colours, codecs and mosaics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    MultiFrameSingleBitSecondaryCaptureImageStorage,
)

from tests.slices.conformance import RAW, Expected, Truth, at, case, ct, frames_of, hu, unplaced, write
from tests.slices.factories import dicom_slice, save, stored_pixels

MR: dict[str, Any] = {**RAW, "Modality": "MR"}
CR: dict[str, Any] = {**RAW, "Modality": "CR", "ImagePositionPatient": None, "ImageOrientationPatient": None}
XC: dict[str, Any] = CR | {"Modality": "XC"}
WIDE = {"BitsStored": 16, "HighBit": 15}


def one(folder: Path, dataset: Dataset, values: np.ndarray, *flags: str) -> Truth:
    save(dataset, folder / "a.dcm")
    return Truth([Expected([values], [at(0)], frozenset(flags))])


@case
def pet_slope_of_each_slice(folder: Path) -> Truth:
    """Stays in the file's own units, Bq/ml as a rule: no SUV."""
    write(folder, 4, lambda i: {"Modality": "PT", "RescaleSlope": 0.5 + i, "RescaleIntercept": 0})
    return Truth([Expected([stored_pixels(i) * (0.5 + i) for i in range(4)], [at(i) for i in range(4)])])


@case
def negative_slope(folder: Path) -> Truth:
    write(folder, 3, lambda i: {"RescaleSlope": -1, "RescaleIntercept": 1000})
    return Truth([Expected([1000 - stored_pixels(i).astype(int) for i in range(3)], [at(i) for i in range(3)])])


@case
def high_bits_garbage(folder: Path) -> Truth:
    write(folder, 3, lambda i: {"pixels": stored_pixels(i) | 0xF000})
    return Truth([ct(range(3))])


@case
def high_bit_on_top(folder: Path) -> Truth:
    """Twelve bits at the upper end of sixteen, garbage below."""
    return one(folder, dicom_slice(0, pixels=stored_pixels(0) << 4 | 0xA, HighBit=15), hu(0))


@case
def signed_12_bit(folder: Path) -> Truth:
    values = stored_pixels(0).astype(np.int16) - 2048
    return one(folder, dicom_slice(0, pixels=values & 0x0FFF, PixelRepresentation=1, RescaleIntercept=0), values)


@case
def unsigned_above_32767(folder: Path) -> Truth:
    values = stored_pixels(0) * 16
    return one(folder, dicom_slice(0, pixels=values, **MR, **WIDE), values)


@case
def signed_16_bit_below_minus_32000(folder: Path) -> Truth:
    values = (stored_pixels(0).astype(np.int32) * 16 - 32768).astype(np.int16)
    signed = {"PixelRepresentation": 1, "RescaleIntercept": -1024}
    return one(folder, dicom_slice(0, pixels=values, **signed, **WIDE), values.astype(int) - 1024)


@case
def eight_bit(folder: Path) -> Truth:
    values = stored_pixels(0).astype(np.uint8)
    return one(folder, dicom_slice(0, pixels=values, **MR, BitsAllocated=8, BitsStored=8, HighBit=7), values)


@case
def eight_bit_odd_length(folder: Path) -> Truth:
    values = stored_pixels(0, 5, 7).astype(np.uint8)
    dataset = frames_of(dicom_slice(0, **MR), values, BitsAllocated=8, BitsStored=8, HighBit=7)
    return one(folder, dataset, values)


@case
def thirty_two_bit(folder: Path) -> Truth:
    values = stored_pixels(0).astype(np.int32) * 100_000 - 200_000_000
    wide = {"BitsAllocated": 32, "BitsStored": 32, "HighBit": 31, "PixelRepresentation": 1}
    return one(folder, dicom_slice(0, pixels=values, **MR, **wide), values)


def floating(folder: Path, keyword: str, dtype: type) -> Truth:
    values = (stored_pixels(0) / 7).astype(dtype)
    dataset = dicom_slice(0, **MR)
    del dataset.PixelData, dataset.PixelRepresentation, dataset.BitsStored, dataset.HighBit
    dataset.BitsAllocated = 8 * values.itemsize
    setattr(dataset, keyword, values.tobytes())
    return one(folder, dataset, values.astype(np.float32))


@case
def float_pixels(folder: Path) -> Truth:
    return floating(folder, "FloatPixelData", np.float32)


@case
def double_pixels(folder: Path) -> Truth:
    return floating(folder, "DoubleFloatPixelData", np.float64)


@case
def one_bit(folder: Path) -> Truth:
    """Two frames of 35 pixels: the second begins inside a byte."""
    frames = np.stack([stored_pixels(i, 5, 7) % 3 == 0 for i in range(2)])
    packed = np.packbits(frames.ravel(), bitorder="little")
    dataset = frames_of(dicom_slice(0, **CR), packed[None], Rows=5, Columns=7, NumberOfFrames=2)
    dataset.SOPClassUID = MultiFrameSingleBitSecondaryCaptureImageStorage
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 1, 1, 0
    dataset.BurnedInAnnotation = "NO"
    save(dataset, folder / "a.dcm")
    return Truth([unplaced([frame.astype(int) for frame in frames])])


@case
def monochrome1_radiograph(folder: Path) -> Truth:
    save(dicom_slice(0, **CR, PhotometricInterpretation="MONOCHROME1"), folder / "a.dcm")
    return Truth([unplaced([4095 - stored_pixels(0).astype(int)], "monochrome1")])


@case
def monochrome1_ct_in_hu(folder: Path) -> Truth:
    write(folder, 3, lambda i: {"PhotometricInterpretation": "MONOCHROME1"})
    return Truth([ct(range(3), "monochrome1")])


@case
def ct_without_rescale(folder: Path) -> Truth:
    values = [stored_pixels(i) for i in range(3)]
    write(folder, 3, lambda i: RAW)
    return Truth([Expected(values, [at(i) for i in range(3)], frozenset({"no_rescale"}))])


def table(first: int, entries: np.ndarray, bits: int = 16) -> Dataset:
    item = Dataset()
    item.add_new(0x00283002, "US", [len(entries), first, bits])
    item.add_new(0x00283006, "OW", entries.astype("<u2").tobytes())
    return item


@case
def modality_table(folder: Path) -> Truth:
    entries = (np.arange(3000) ** 2 // 200).astype(np.uint16)
    dataset = dicom_slice(0, **CR)
    dataset.ModalityLUTSequence = Sequence([table(100, entries)])
    dataset.ModalityLUTSequence[0].ModalityLUTType = "US"
    save(dataset, folder / "a.dcm")
    return Truth([unplaced([entries[np.clip(stored_pixels(0).astype(int) - 100, 0, 2999)]])])


@case
def voi_table(folder: Path) -> Truth:
    entries = (65535 - np.arange(4096) * 15).astype(np.uint16)
    dataset = dicom_slice(0, **CR)
    dataset.VOILUTSequence = Sequence([table(0, entries)])
    save(dataset, folder / "a.dcm")
    return Truth([unplaced([entries[stored_pixels(0)]])])


@case
def padding_value(folder: Path) -> Truth:
    values = stored_pixels(0).astype(np.int16)
    values[:5] = -2000
    dataset = dicom_slice(0, pixels=values, PixelRepresentation=1, **WIDE)
    dataset.add_new(0x00280120, "SS", -2000)
    return one(folder, dataset, np.where(values == -2000, -1024, values.astype(int) - 1024), "padded")


@case
def padding_range(folder: Path) -> Truth:
    values = stored_pixels(0)
    dataset = dicom_slice(0)
    dataset.add_new(0x00280120, "US", 4000)
    dataset.add_new(0x00280121, "US", 4095)
    return one(folder, dataset, np.where(values >= 4000, -1024, values.astype(int) - 1024), "padded")
