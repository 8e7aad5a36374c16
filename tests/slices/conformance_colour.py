"""Series in colour."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

from tests.slices.conformance import Truth, case, frames_of, unplaced
from tests.slices.conformance_pixels import XC
from tests.slices.factories import COLUMNS, ROWS, dicom_slice, save, stored_pixels


def colour(folder: Path, stored: np.ndarray, values: np.ndarray, **attributes: Any) -> Truth:
    dataset = frames_of(dicom_slice(0, **XC), stored)
    dataset.Rows, dataset.Columns = values.shape[:2]
    dataset.SamplesPerPixel, dataset.PlanarConfiguration = 3, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    for key, value in attributes.items():
        setattr(dataset, key, value)
    save(dataset, folder / "a.dcm")
    return Truth([unplaced([values])])


RGB = np.stack([stored_pixels(i).astype(np.uint8) for i in range(3)], axis=-1)
"""(ROWS, COLUMNS, 3)."""


def ybr_to_rgb(ybr: np.ndarray) -> np.ndarray:
    """Inverse of PS3.3 C.7.6.3.1.2, rounded and clipped."""
    y, b, r = (ybr[..., i].astype(float) - (128 if i else 0) for i in range(3))
    rgb = np.stack([y + 1.402 * r, y - 0.114 * 1.772 / 0.587 * b - 0.299 * 1.402 / 0.587 * r, y + 1.772 * b], axis=-1)
    return np.clip(np.floor(rgb + 0.5), 0, 255).astype(np.uint8)


@case
def rgb_by_pixel(folder: Path) -> Truth:
    return colour(folder, RGB, RGB, PhotometricInterpretation="RGB")


@case
def rgb_by_plane(folder: Path) -> Truth:
    planes = np.ascontiguousarray(np.moveaxis(RGB, 2, 0))
    return colour(folder, planes, RGB, PhotometricInterpretation="RGB", PlanarConfiguration=1)


@case
def ybr_full(folder: Path) -> Truth:
    return colour(folder, RGB, ybr_to_rgb(RGB), PhotometricInterpretation="YBR_FULL")


@case
def ybr_full_422(folder: Path) -> Truth:
    """Two luminances share one pair of colours."""
    packed = np.empty((ROWS, COLUMNS // 2, 4), np.uint8)
    packed[..., :2] = RGB[..., 0].reshape(ROWS, -1, 2)
    packed[..., 2:] = RGB[:, ::2, 1:]
    whole = np.concatenate([RGB[..., :1], np.repeat(RGB[:, ::2, 1:], 2, axis=1)], axis=-1)
    return colour(folder, packed, ybr_to_rgb(whole), PhotometricInterpretation="YBR_FULL_422")


def palette(folder: Path, entries: np.ndarray, bits: int, segmented: bool = False) -> Truth:
    stored = stored_pixels(0).astype(np.uint8)
    dataset = frames_of(dicom_slice(0, **XC), stored, PhotometricInterpretation="PALETTE COLOR")
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    for channel, name in enumerate(("Red", "Green", "Blue")):
        setattr(dataset, f"{name}PaletteColorLookupTableDescriptor", [256, 0, bits])
        if segmented:
            # one discrete segment for the first two, then a linear one to the last
            column = entries[:, channel]
            data = struct.pack("<7H", 0, 2, column[0], column[1], 1, 254, column[255])
            setattr(dataset, f"Segmented{name}PaletteColorLookupTableData", data)
        else:
            data = entries[:, channel].astype("u1" if bits == 8 else "<u2").tobytes()
            setattr(dataset, f"{name}PaletteColorLookupTableData", data)
    save(dataset, folder / "a.dcm")
    return Truth([unplaced([(entries >> (bits - 8)).astype(np.uint8)[stored]])])


@case
def palette_8_bit(folder: Path) -> Truth:
    return palette(folder, np.stack([np.arange(256), np.arange(256)[::-1], np.arange(256) ^ 85], axis=1), 8)


@case
def palette_16_bit(folder: Path) -> Truth:
    return palette(folder, np.stack([np.arange(256), np.arange(256)[::-1], np.arange(256) ^ 85], axis=1) * 257, 16)


@case
def palette_segmented(folder: Path) -> Truth:
    ramp = np.arange(256) * 256
    return palette(folder, np.stack([ramp, ramp, ramp], axis=1), 16, segmented=True)
