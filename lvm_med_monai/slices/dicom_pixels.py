"""Decoding one DICOM frame into modality units (PS3.3 C.11.1, C.11.2, C.7.6.3)."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lvm_med_monai.slices.codestream import declared_size
from lvm_med_monai.slices.dicom_frames import Frame
from lvm_med_monai.slices.stack import FrameError, Reject, exact_dtype

PLUGINS = {
    "1.2.840.10008.1.2.4.50": "pillow",  # JPEG baseline
    "1.2.840.10008.1.2.4.51": "gdcm",  # JPEG extended: Pillow stops at 8 bits
    "1.2.840.10008.1.2.4.57": "gdcm",  # JPEG lossless
    "1.2.840.10008.1.2.4.70": "gdcm",  # JPEG lossless, first-order prediction
    "1.2.840.10008.1.2.4.80": "pyjpegls",  # JPEG-LS
    "1.2.840.10008.1.2.4.81": "pyjpegls",  # JPEG-LS near-lossless
    "1.2.840.10008.1.2.4.90": "pylibjpeg",  # JPEG 2000 lossless
    "1.2.840.10008.1.2.4.91": "pylibjpeg",  # JPEG 2000
    "1.2.840.10008.1.2.4.201": "pylibjpeg",  # HTJ2K lossless
    "1.2.840.10008.1.2.4.202": "pylibjpeg",  # HTJ2K lossless, RPCL
    "1.2.840.10008.1.2.4.203": "pylibjpeg",  # HTJ2K
    "1.2.840.10008.1.2.5": "pylibjpeg",  # RLE
}
"""Decoder of each compressed transfer syntax. pydicom's own order is not that of speed: up to 17 times slower."""
BIG_ENDIAN = "1.2.840.10008.1.2.2"
AIR_HU = -1024
"""Background of a CT outside of the field of view."""


class FrameDecoder:
    """Decodes frames and keeps the last file in memory, because the next frame is often in it."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._dataset: Any = None

    def decode(self, frame: Frame) -> NDArray[Any]:
        """Pixels of a frame.

        Values are the stored bits (sign extended), through the Modality LUT. In display modalities a VOI LUT table
        follows, and MONOCHROME1 is inverted last; a linear window is not applied but kept as the stack's display range,
        mirrored, which is the same and loses no bits. Padding becomes background.

        Args:
            frame: the frame.

        Returns:
            (H, W) of `value_dtype`, or (H, W, 3) uint8.

        Raises:
            FrameError: the pixels are damaged.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # pydicom's warnings quote values
                return self._decode(frame)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            # Native decoders raise anything on a damaged stream, which costs this file only; the RLE decoder is written
            # in Rust, and its panics are no Exceptions.
            detail = f"the pixels cannot be decoded ({type(error).__name__}); copy the file again"
            raise FrameError(Reject(frame.image.path, "corrupt", detail)) from error

    def _decode(self, frame: Frame) -> NDArray[Any]:
        from pydicom.pixels import get_decoder

        image = frame.image
        dataset = self._load(frame)
        _check_codestream(frame, dataset)
        decoder = get_decoder(image.syntax)
        stored, meta = decoder.as_array(dataset, index=frame.index, decoding_plugin=PLUGINS.get(image.syntax, ""))
        if stored.shape[:2] != (image.rows, image.columns):
            raise ValueError("the decoded size differs from the header's")
        if image.colour:
            return _rgb(stored, dataset, image.photometric, int(meta["bits_stored"]))
        values, mask = modality_values(frame, stored, dataset), _padding_mask(frame, stored)
        if frame.units == "display" and image.has_voi_lut:
            values = _table(values, dataset.VOILUTSequence[0])
        if is_inverted(frame):
            low, high = value_range(frame) if not image.has_voi_lut else (0, _table_top(dataset.VOILUTSequence[0]))
            values = low + high - values
        if mask is not None:
            values = np.where(mask, _background(frame, values, mask), values)
        return values.astype(value_dtype(frame), copy=False)

    def _load(self, frame: Frame) -> Any:
        import pydicom

        if self._path != frame.image.path:
            self._dataset = pydicom.dcmread(frame.image.path, force=True)
            self._dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(frame.image.syntax)
            self._path = frame.image.path
        return self._dataset


def _check_codestream(frame: Frame, dataset: Any) -> None:
    """Refuse a compressed frame that is not of the header's size before its decoder allocates what it declares."""
    from pydicom.encaps import get_frame

    image = frame.image
    if image.syntax not in PLUGINS:
        return
    count = int(dataset.get("NumberOfFrames") or 1)
    size = declared_size(get_frame(dataset.PixelData, frame.index, number_of_frames=count))
    if size is not None and size != (image.rows, image.columns):
        raise ValueError("the compressed frame declares another size than the header")


def stored_range(frame: Frame) -> tuple[float, float]:
    """Lowest and highest value that the stored bits can hold."""
    bits = frame.image.bits
    return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if frame.image.signed else (0, (1 << bits) - 1)


def value_range(frame: Frame) -> tuple[float, float]:
    """Lowest and highest possible value in modality units; of a table the 16 bits that its entries can have."""
    if frame.image.has_modality_lut or (frame.image.has_voi_lut and frame.units == "display"):
        return 0, 65535
    ends = [v * frame.slope + (frame.intercept or 0) for v in stored_range(frame)]
    return min(ends), max(ends)


def value_dtype(frame: Frame) -> np.dtype[Any]:
    """Type of the decoded frame: uint8 for colour, else the smallest of int16, int32, float32 that is exact."""
    if frame.image.colour:
        return np.dtype(np.uint8)
    intercept = frame.intercept or 0.0
    integral = frame.slope == int(frame.slope) and intercept == int(intercept)
    low, high = value_range(frame)
    if frame.image.padding is not None and frame.units == "HU":
        low = min(low, AIR_HU)
    return np.dtype(exact_dtype(low, high, (integral or frame.image.has_modality_lut) and not frame.image.floating))


def is_inverted(frame: Frame) -> bool:
    """Whether low values are bright and are therefore mirrored."""
    return frame.image.photometric == "MONOCHROME1" and frame.units == "display"


def modality_values(frame: Frame, stored: NDArray[Any], dataset: Any) -> NDArray[Any]:
    """Stored values (H, W) through the Modality LUT of this frame: integers where exact, else float64."""
    if frame.image.has_modality_lut:
        return _table(stored, dataset.ModalityLUTSequence[0])
    intercept = frame.intercept or 0.0
    if stored.dtype.kind in "iub" and frame.slope == int(frame.slope) and intercept == int(intercept):
        narrow = max(map(abs, value_range(frame))) < 1 << 30
        values = stored.astype(np.int32 if narrow else np.int64)
        return values * int(frame.slope) + int(intercept) if frame.slope != 1 else values + int(intercept)
    return stored.astype(np.float64) * frame.slope + intercept


def _table(values: NDArray[Any], item: Any) -> NDArray[Any]:
    """Look values up in a LUT (PS3.3 C.11.1.1.1): values before the first entry take it, those behind take the last."""
    entries, first = _table_entries(item), int(item.LUTDescriptor[1])
    return entries[np.clip(values.astype(np.int64) - first, 0, len(entries) - 1)]


def _table_entries(item: Any) -> NDArray[Any]:
    count, _, bits = (int(v) for v in item.LUTDescriptor)
    count = count % 65536 or 65536
    data = item.LUTData
    if isinstance(data, bytes):
        narrow = bits <= 8 and len(data) < 2 * count
        data = np.frombuffer(data, dtype=np.uint8 if narrow else np.dtype("<u2"))
    return np.asarray(data, dtype=np.int64)[:count] & 0xFFFF


def _table_top(item: Any) -> int:
    return (1 << int(item.LUTDescriptor[2])) - 1


def _padding_mask(frame: Frame, stored: NDArray[Any]) -> NDArray[np.bool_] | None:
    if frame.image.padding is None:
        return None
    low, high = frame.image.padding
    mask = (stored >= low) & (stored <= high)
    return mask if mask.any() else None


def _background(frame: Frame, values: NDArray[Any], mask: NDArray[np.bool_]) -> Any:
    """Air in CT; elsewhere 0, or the lowest real value where that is below 0; after inversion the lowest one."""
    if frame.units == "HU":
        return AIR_HU
    real = values[~mask]
    lowest = real.min() if real.size else 0
    return lowest if is_inverted(frame) else min(0, lowest)


def _rgb(stored: NDArray[Any], dataset: Any, photometric: str, bits: int) -> NDArray[Any]:
    """(H, W, 3) uint8 from RGB (pydicom has converted YBR already) or from palette indices."""
    if photometric == "PALETTE COLOR":
        from pydicom.pixels.processing import apply_color_lut

        stored = apply_color_lut(stored, dataset)
        if dataset.file_meta.TransferSyntaxUID == BIG_ENDIAN and "RedPaletteColorLookupTableData" in dataset:
            # pydicom reads plain tables in the machine's byte order.
            stored = stored.byteswap()
        bits = 16 if stored.dtype.itemsize == 2 else 8
    return (stored >> (bits - 8)).astype(np.uint8) if bits > 8 else stored.astype(np.uint8)
