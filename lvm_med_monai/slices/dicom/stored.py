"""Stored values of one DICOM frame: the bits of the file, before any table or slope (PS3.5 section 8)."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lvm_med_monai.slices.codestream import declared_size
from lvm_med_monai.slices.dicom import tags
from lvm_med_monai.slices.dicom.codecs import BIT_PATTERNS, PLUGINS, decode_grey
from lvm_med_monai.slices.dicom.contents import BIG_ENDIAN, DEFLATED, EXPLICIT, NATIVE
from lvm_med_monai.slices.dicom.deflate import inflate
from lvm_med_monai.slices.dicom.file import deflated_body
from lvm_med_monai.slices.dicom.fragments import ITEM, read_span
from lvm_med_monai.slices.dicom.image import Image

FLOAT_TYPES = {tags.FLOAT_PIXELS: "f4", tags.DOUBLE_PIXELS: "f8"}


class _Inflated(NamedTuple):
    path: Path
    data: bytes


class FrameReader:
    """Reads frames; of a deflated file all, which it keeps, because inflating starts at the first."""

    def __init__(self) -> None:
        self._inflated: _Inflated | None = None

    def grey(self, image: Image, index: int, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Stored values of a grey frame.

        Args:
            image: the file.
            index: number of the frame.
            out: memory that may be used for the result.

        Returns:
            (rows, columns) as stored, writable, integers of ``bits_allocated`` or floats.

        Raises:
            Exception: whatever a decoder raises for damaged pixels.
        """
        rows, columns = image.stored_shape
        if image.syntax in NATIVE:
            values = self._native(image, index, out)
        else:
            data = _compressed(image, index)
            decoded = decode_grey(image, data)
            if decoded is None:
                return self._by_pydicom(image, data)
            values = decoded
        if values.size != rows * columns:
            raise ValueError("the decoded size differs from the header's")
        values = values.reshape(rows, columns)
        needs_shift = image.bits < image.bits_allocated and image.bits_allocated > 1 and not image.floating
        return _significant(values, image) if needs_shift and image.syntax in BIT_PATTERNS else values

    def colour(self, image: Image, index: int) -> NDArray[Any]:
        """(rows, columns, 3) RGB, or (rows, columns) palette indices, as pydicom decodes them. Raises as `grey`."""
        if image.syntax not in NATIVE:
            return self._by_pydicom(image, _compressed(image, index))
        size = _frame_bytes(image)
        return self._by_pydicom(image, self._bytes(image, index * size, (index + 1) * size))

    def _native(self, image: Image, index: int, out: NDArray[Any] | None) -> NDArray[Any]:
        rows, columns = image.stored_shape
        if image.bits_allocated == 1:
            return self._unpacked(image, index)
        code = FLOAT_TYPES.get(image.pixels.tag) or f"{'i' if image.signed else 'u'}{image.bits_allocated // 8}"
        dtype = np.dtype(("<" if image.little_endian else ">") + code)
        if out is not None and dtype.isnative and out.nbytes == rows * columns * dtype.itemsize:
            values = out.reshape(-1).view(dtype)
        else:
            values = np.empty(rows * columns, dtype=dtype)
        if image.syntax == DEFLATED or _swapped(image):
            start = index * values.nbytes
            values[:] = np.frombuffer(self._bytes(image, start, start + values.nbytes), values.dtype)
        else:
            with image.path.open("rb", buffering=0) as file:
                file.seek(image.pixels.offset + index * values.nbytes)
                if file.readinto(values.view(np.uint8).data) != values.nbytes:
                    raise ValueError("the file has become shorter")
        native = values.dtype.newbyteorder("=")
        return values.view(native) if values.dtype.isnative else values.astype(native)

    def _unpacked(self, image: Image, index: int) -> NDArray[np.uint8]:
        """Pixels of one bit, packed from the lowest bit on, with no gap between frames (PS3.5 section 8.1.1)."""
        count = image.stored_shape[0] * image.stored_shape[1]
        first, last = index * count // 8, ((index + 1) * count + 7) // 8
        packed = np.frombuffer(self._bytes(image, first, last), np.uint8)
        start = index * count - first * 8
        return np.unpackbits(packed, bitorder="little")[start : start + count]

    def _bytes(self, image: Image, first: int, last: int) -> bytes:
        """Bytes ``first`` to ``last`` of native pixels, in the order of pixels."""
        if not _swapped(image):
            return self._range(image, first, last)
        words = np.frombuffer(self._range(image, first // 2 * 2, (last + 1) // 2 * 2), "u2")
        return words.byteswap().tobytes()[first % 2 :][: last - first]

    def _range(self, image: Image, first: int, last: int) -> bytes:
        if image.syntax == DEFLATED:
            if self._inflated is None or self._inflated.path != image.path:
                with image.path.open("rb") as file:
                    whole = image.n_frames * _frame_bytes(image)
                    data = inflate(deflated_body(file), image.pixels.offset, whole)
                self._inflated = _Inflated(image.path, data)
            return self._inflated.data[first:last]
        with image.path.open("rb") as file:
            file.seek(image.pixels.offset + first)
            return file.read(last - first)

    def _by_pydicom(self, image: Image, data: bytes) -> NDArray[Any]:
        """One frame through pydicom's decoder, which knows how writers misuse each codec."""
        from pydicom.pixels import get_decoder

        native = image.syntax in NATIVE
        options: dict[str, Any] = {
            "rows": image.stored_shape[0],
            "columns": image.stored_shape[1],
            "samples_per_pixel": image.samples,
            "photometric_interpretation": image.photometric,
            "pixel_representation": int(image.signed),
            "bits_allocated": image.bits_allocated,
            "bits_stored": image.bits,
            "number_of_frames": 1,
            "pixel_keyword": "PixelData",
        }
        if image.samples > 1:
            options["planar_configuration"] = image.planar
        syntax = image.syntax
        if native:
            syntax = EXPLICIT if image.little_endian or image.bits_allocated <= 8 else BIG_ENDIAN
            options["pixel_vr"] = "OB" if image.bits_allocated <= 8 else "OW"
            source = data + b"\0" * (len(data) % 2)
        else:
            source = _encapsulated(data)
            options["decoding_plugin"] = PLUGINS[image.syntax]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's warnings quote values
            array, _ = get_decoder(syntax).as_array(source, index=0, **options)
        if array.shape[:2] != image.stored_shape:
            raise ValueError("the decoded size differs from the header's")
        return array if array.flags.writeable else array.copy()


def _swapped(image: Image) -> bool:
    """Whether samples of a byte or less lie in words of two bytes, the second first."""
    return not image.little_endian and image.bits_allocated <= 8 and not image.pixels.bytewise


def _frame_bytes(image: Image) -> int:
    """Bytes of a native frame."""
    size = (image.stored_shape[0] * image.stored_shape[1] * image.samples * image.bits_allocated + 7) // 8
    return size * 2 // 3 if image.photometric == "YBR_FULL_422" else size


def _compressed(image: Image, index: int) -> bytes:
    """A compressed frame, refused if it is not of the header's size, before its decoder allocates what it declares."""
    with image.path.open("rb", buffering=0) as file:
        data = read_span(file, image.spans[index])
    size = declared_size(data)
    if size is not None and size != image.stored_shape:
        raise ValueError("the compressed frame declares another size than the header")
    return data


def _encapsulated(frame: bytes) -> bytes:
    """A frame as pydicom's decoders want it: an empty offset table, then one fragment."""
    frame += b"\0" * (len(frame) % 2)
    return ITEM + bytes(4) + ITEM + struct.pack("<L", len(frame)) + frame


def _significant(values: NDArray[Any], image: Image) -> NDArray[Any]:
    """Keep the significant bits, whatever the others hold, and extend their sign. In place."""
    left = image.bits_allocated - 1 - image.high_bit
    right = image.bits_allocated - image.bits
    if not image.signed and left == right:
        values &= (1 << image.bits) - 1
        return values
    np.left_shift(values, left, out=values)
    np.right_shift(values, right, out=values)
    return values
