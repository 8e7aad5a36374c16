"""Decoding one DICOM frame into modality units (PS3.3 C.11.1, C.11.2, C.7.6.3)."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lvm_med_monai.slices.dicom import tags
from lvm_med_monai.slices.dicom.attributes import Attributes
from lvm_med_monai.slices.dicom.colour import rgb
from lvm_med_monai.slices.dicom.file import read_by_pydicom
from lvm_med_monai.slices.dicom.frames import Frame
from lvm_med_monai.slices.dicom.stored import FrameReader
from lvm_med_monai.slices.stack import FrameError, Reject, exact_dtype

AIR_HU = -1024
"""Background of a CT outside of the field of view."""
TABLES = frozenset([tags.MODALITY_LUT_SEQUENCE, tags.VOI_LUT_SEQUENCE, *tags.PALETTE])


class FrameDecoder:
    """Decodes frames and keeps the tables of the last file, because the next frame is often in it."""

    def __init__(self) -> None:
        self._reader = FrameReader()
        self._path: Path | None = None
        self._tables: Attributes | None = None

    def decode(self, frame: Frame, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Pixels of a frame.

        Values are the stored bits (sign extended), through the Modality LUT. In display modalities a VOI LUT table
        follows, and MONOCHROME1 is inverted last; a linear window is not applied but kept as the stack's display range,
        mirrored, which is the same and loses no bits. Padding becomes background.

        Args:
            frame: the frame.
            out: memory that may be used for the result, contiguous, of its shape and type.

        Returns:
            (H, W) of `value_dtype`, or (H, W, 3) uint8; in ``out`` where that saves copying.

        Raises:
            FrameError: the pixels are damaged.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # pydicom's warnings quote values
                return self._decode(frame, out)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            # Native decoders raise anything on a damaged stream, which costs this file only; the RLE decoder is written
            # in Rust, and its panics are no Exceptions.
            detail = f"the pixels cannot be decoded ({type(error).__name__}); copy the file again"
            raise FrameError(Reject(frame.image.path, "corrupt", detail)) from error

    def _decode(self, frame: Frame, out: NDArray[Any] | None) -> NDArray[Any]:
        image = frame.image
        if out is not None and out.dtype != value_dtype(frame):
            out = None
        if image.colour:
            tables = self._tables_of(image.path) if image.photometric == "PALETTE COLOR" else None
            return rgb(self._reader.colour(image, frame.index), image, tables)
        stored = self._reader.grey(image, 0 if image.mosaic else frame.index, out)
        if image.mosaic:
            row, column = image.mosaic.corner(frame.index)
            stored = stored[row : row + image.rows, column : column + image.columns]
        mask = _padding_mask(frame, stored)
        voi = self._table(frame, tags.VOI_LUT_SEQUENCE) if _has_voi_table(frame) else None
        values = self._modality_values(frame, stored, out)
        if voi is not None:
            values = voi.look_up(values)
        if is_inverted(frame):
            low, high = value_range(frame) if voi is None else (0, voi.top)
            values = low + high - values
        if mask is not None:
            values = values.astype(value_dtype(frame), copy=False)
            values[mask] = _background(frame, values, mask)
        return values.astype(value_dtype(frame), copy=False)

    def _modality_values(self, frame: Frame, stored: NDArray[Any], out: NDArray[Any] | None) -> NDArray[Any]:
        if frame.image.has_modality_lut:
            return self._table(frame, tags.MODALITY_LUT_SEQUENCE).look_up(stored)
        return rescaled(frame, stored, out)

    def _table(self, frame: Frame, tag: int) -> _Table:
        item = self._tables_of(frame.image.path).first(tag)
        if item is None:
            raise ValueError("a lookup table has vanished")
        return _Table(item, frame.image.signed)

    def _tables_of(self, path: Path) -> Attributes:
        if self._tables is None or self._path != path:
            self._path, self._tables = path, read_by_pydicom(path, TABLES).attributes
        return self._tables


class _Table:
    """A lookup table (PS3.3 C.11.1.1.1): values before the first entry take it, those behind take the last."""

    def __init__(self, item: Attributes, signed: bool) -> None:
        descriptor = item.numbers(tags.LUT_DESCRIPTOR, 3)
        if descriptor is None:
            raise ValueError("a lookup table without descriptor")
        count, self.first, bits = (int(v) for v in descriptor)
        count = count % 65536 or 65536
        if signed and self.first >= 1 << 15:
            self.first -= 1 << 16  # the first value has the sign of the pixels, which not every encoding tells
        data = item.value(tags.LUT_DATA)
        if isinstance(data, bytes):
            narrow = bits <= 8 and len(data) < 2 * count
            data = np.frombuffer(data, dtype="u1" if narrow else "<u2" if item.little_endian else ">u2")
        self.entries = np.asarray(data, dtype=np.int64)[:count] & 0xFFFF
        self.top = (1 << bits) - 1

    def look_up(self, values: NDArray[Any]) -> NDArray[Any]:
        return self.entries[np.clip(values.astype(np.int64) - self.first, 0, len(self.entries) - 1)]


def stored_range(frame: Frame) -> tuple[float, float]:
    """Lowest and highest value that the stored bits can hold."""
    bits = frame.image.bits
    return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if frame.image.signed else (0, (1 << bits) - 1)


def value_range(frame: Frame) -> tuple[float, float]:
    """Lowest and highest possible value in modality units; of a table the 16 bits that its entries can have."""
    if frame.image.has_modality_lut or _has_voi_table(frame):
        return 0, 65535
    ends = [v * frame.slope + (frame.intercept or 0) for v in stored_range(frame)]
    return min(ends), max(ends)


def value_dtype(frame: Frame) -> np.dtype[Any]:
    """Type of the decoded frame: uint8 for colour, else the smallest of int16, int32, float32 that is exact."""
    if frame.image.colour:
        return np.dtype(np.uint8)
    low, high = value_range(frame)
    if frame.image.padding is not None and frame.units == "HU":
        low = min(low, AIR_HU)
    integral = (_is_integral(frame) or frame.image.has_modality_lut) and not frame.image.floating
    return np.dtype(exact_dtype(low, high, integral))


def is_inverted(frame: Frame) -> bool:
    """Whether low values are bright and are therefore mirrored."""
    return frame.image.photometric == "MONOCHROME1" and frame.units == "display"


def rescaled(frame: Frame, stored: NDArray[Any], out: NDArray[Any] | None = None) -> NDArray[Any]:
    """Stored values through slope and intercept.

    Where stored and resulting integers have the same width this is done in place: arithmetic that wraps around is exact
    if its result fits, whatever came between.

    Args:
        frame: the frame.
        stored: (H, W); may be overwritten.
        out: (H, W) of `value_dtype`, memory that may be used for the result.

    Returns:
        (H, W): integers where they are exact, else float64.
    """
    slope, intercept = frame.slope, frame.intercept or 0.0
    if stored.dtype.kind not in "iub" or not _is_integral(frame):
        return stored.astype(np.float64) * slope + intercept
    target = value_dtype(frame)
    if target.kind != "i" or max(map(abs, value_range(frame))) >= 1 << 31:
        return stored.astype(np.int64) * int(slope) + int(intercept)
    same = stored.dtype.itemsize == target.itemsize and stored.flags.c_contiguous
    if same:
        values = stored.view(target)
    else:
        values = np.empty(stored.shape, target) if out is None else out
        np.copyto(values, stored, casting="unsafe")
    half = 1 << (8 * target.itemsize - 1)
    factor, offset = ((int(v) + half) % (2 * half) - half for v in (slope, intercept))
    if factor != 1:
        values *= target.type(factor)
    if offset:
        values += target.type(offset)
    return values


def _is_integral(frame: Frame) -> bool:
    intercept = frame.intercept or 0.0
    return frame.slope == int(frame.slope) and intercept == int(intercept)


def _has_voi_table(frame: Frame) -> bool:
    return frame.image.voi_top is not None and frame.units == "display"


def _padding_mask(frame: Frame, stored: NDArray[Any]) -> NDArray[np.bool_] | None:
    if frame.image.padding is None:
        return None
    low, high = frame.image.padding
    mask = (stored >= low) & (stored <= high) if low != high else stored == low
    return mask if mask.any() else None


def _background(frame: Frame, values: NDArray[Any], mask: NDArray[np.bool_]) -> Any:
    """Air in CT; elsewhere 0, or the lowest real value where that is below 0; after inversion the lowest one."""
    if frame.units == "HU":
        return AIR_HU
    real = values[~mask]
    lowest = real.min() if real.size else 0
    return lowest if is_inverted(frame) else min(0, lowest)
