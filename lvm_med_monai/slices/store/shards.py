"""Slices as image files inside tar archives, addressed by offset and length.

The archives are plain USTAR in WebDataset's layout (``<key>.png`` and ``<key>.json`` side by side), so the same bytes
serve sequential readers and, through the manifest, random access with a single read, on disk or in an object store.
"""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from io import BufferedWriter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lvm_med_monai.slices.limits import MAX_SLICE_PIXELS
from lvm_med_monai.slices.store import codecs
from lvm_med_monai.slices.store.location import Location
from lvm_med_monai.slices.store.storage import Storage
from lvm_med_monai.slices.windows import Window, to_uint8

SHARD_BYTES = 256 << 20
"""A shard is closed when it has grown to this; object stores and page caches like a quarter of a gigabyte."""
STEPS, STEPS_8_BIT = 65535, 255
"""Largest stored value of 16 and of 8 bits."""
MAX_OVERHEAD_BYTES = 1 << 16
"""What a codec may add to pixels that cannot be compressed, besides doubling them."""
MAX_MEMBER_BYTES = 1 << 33
"""What eleven octal digits of a tar header can say."""
EXACT_FLOAT32 = 1 << 24
"""Integers up to this magnitude are exact in float32, the type that a slice is read back as."""

_JSON = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True, eq=False)
class Stored:
    """A slice as it is stored: ``value = stored * scale + intercept``.

    Attributes:
        pixels: (H, W) uint16 or uint8, or (H, W, 3) uint8; C-contiguous.
        scale: modality units a step.
        intercept: modality units of stored 0.
        exact: whether reading gives back every value bit by bit.
    """

    pixels: NDArray[Any]
    scale: float
    intercept: float
    exact: bool

    @property
    def digest(self) -> str:
        """SHA-256 of the stored pixels, row by row, little endian."""
        return pixel_digest(self.pixels)


def pixel_digest(pixels: NDArray[Any]) -> str:
    """SHA-256, hexadecimal, of pixels in row order, little endian, channels last."""
    return hashlib.sha256(np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("<")).data).hexdigest()


def store(pixels: NDArray[Any], storage: Storage | None = None, window: Window | None = None) -> Stored:
    """Choose how to store a slice.

    Args:
        pixels: (H, W) finite numbers in modality units, or (H, W, 3) uint8.
        storage: 16 or 8 bits; 16 if None.
        window: the range of values that 8 bits keep; see `storage.stored_window`.

    Returns:
        Colour as it is. With 16 bits, integers within a span of 16 bits exactly: with intercept 0 if none is negative
        or above 65,535, else with the lowest value as intercept. Everything else in 65,535 linear steps from the lowest
        to the highest value, which is not exact. With 8 bits, 255 steps from one end of the window to the other, values
        beyond it clipped; exact if that changes nothing.

    Raises:
        ValueError: 8 bits without a window.
    """
    if pixels.ndim == 3:
        return Stored(np.ascontiguousarray(pixels, dtype=np.uint8), 1.0, 0.0, exact=True)
    if storage is not None and storage.bits == 8:
        return _store_8_bit(pixels, window)
    low, high = float(pixels.min()), float(pixels.max())
    integral = pixels.dtype.kind in "iub" or bool((pixels == np.rint(pixels)).all())
    if integral and high - low <= STEPS and max(abs(low), abs(high)) <= EXACT_FLOAT32:
        intercept = 0.0 if low >= 0 and high <= STEPS else low
        return Stored(_shifted(pixels, int(intercept)), 1.0, intercept, exact=True)
    scale = (high - low) / STEPS or 1.0
    steps = np.rint((pixels.astype(np.float64) - low) / scale)
    return Stored(np.clip(steps, 0, STEPS).astype(np.uint16), scale, low, exact=False)


def _shifted(pixels: NDArray[Any], intercept: int) -> NDArray[np.uint16]:
    """``pixels - intercept``, which is known to fit, as uint16, C-contiguous; integers modulo 65,536 take no detour."""
    integers = pixels if pixels.dtype.kind in "iub" else pixels.astype(np.int64)
    stored = integers.astype(np.uint16, order="C")
    if intercept:
        stored -= np.uint16(intercept % (STEPS + 1))
    return stored


def _store_8_bit(pixels: NDArray[Any], window: Window | None) -> Stored:
    if window is None:
        raise ValueError("storing 8 bits needs the window whose values are kept")
    stored = to_uint8(pixels, window)
    step = (window.upper - window.lower) / STEPS_8_BIT
    exact = step == 1 and bool((stored + window.lower == pixels).all())
    return Stored(np.ascontiguousarray(stored), step, window.lower, exact=exact)


class ShardWriter:
    """Writes shards ``<prefix>-00000.tar`` and so on.

    The content depends on the slices, their keys and their order alone: times, owners and modes are fixed. The bytes
    of a PNG may differ between kinds of CPU, see `png`.

    Args:
        folder: existing folder for the shards.
        prefix: beginning of their names.
        codec: name of the codec; see `codecs`.
        max_bytes: size at which the next shard is begun.

    Raises:
        ValueError: there is no such codec.
        ImportError: the codec's package is not installed.
    """

    def __init__(self, folder: Path, prefix: str, codec: str = "png", max_bytes: int = SHARD_BYTES) -> None:
        self.folder, self.prefix, self.max_bytes = folder, prefix, max_bytes
        self._codec = codecs.codec(codec)
        self._count = 0
        self._file: BufferedWriter | None = None
        self._name, self._size = "", 0

    def add(self, key: str, stored: Stored, fields: Mapping[str, Any]) -> tuple[str, int, int]:
        """Append a slice.

        Args:
            key: name inside the shard; letters, digits and hyphens, unique.
            stored: its pixels.
            fields: content of the JSON file beside it.

        Returns:
            File name of the shard, offset of the image in it, and the image's length in bytes.
        """
        if self._file is None or self._size >= self.max_bytes:
            self._open()
        image = self._codec.encode(stored.pixels)
        offset = self._append(f"{key}.{self._codec.suffix}", image)
        self._append(key + ".json", _JSON.encode(fields).encode())
        return self._name, offset, len(image)

    def _append(self, name: str, data: bytes) -> int:
        """Header, content and padding in one write."""
        assert self._file is not None
        header = _ustar_header(name, len(data))
        offset = self._size + len(header)
        self._size += self._file.write(b"".join((header, data, bytes(-len(data) % tarfile.BLOCKSIZE))))
        return offset

    def _open(self) -> None:
        self.close()
        self._name, self._size = f"{self.prefix}-{self._count:05d}.tar", 0
        # It stays open across calls; close(), which leaving the context calls, ends it
        self._file = (self.folder / self._name).open("wb")
        self._count += 1

    def close(self) -> None:
        """Finish the last shard: two empty blocks, and more up to a full record."""
        if self._file is not None:
            end = self._size + 2 * tarfile.BLOCKSIZE
            self._file.write(bytes(2 * tarfile.BLOCKSIZE + -end % tarfile.RECORDSIZE))
            self._file.close()
            self._file = None

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _ustar_header(name: str, size: int) -> bytes:
    """Header block of a regular file (POSIX.1-1988, ustar) without owner and time.

    `tarfile` would do, but takes as long as compressing a tenth of a slice, and writes other bytes in other versions.
    """
    encoded = name.encode("ascii")
    if len(encoded) > tarfile.LENGTH_NAME or not 0 <= size < MAX_MEMBER_BYTES:
        raise ValueError(f"a slice of {size} bytes with a key of {len(encoded)} letters does not fit into a shard")
    start = encoded.ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + b"%011o\0" % size + b"0" * 11 + b"\0"
    end = b"0".ljust(101, b"\0") + b"ustar\0" + b"00"
    block = (start + b" " * 8 + end).ljust(tarfile.BLOCKSIZE, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def read_stored(root: str | os.PathLike[str] | Location, row: Mapping[str, Any]) -> NDArray[Any]:
    """Stored pixels of a manifest row: (H, W) uint16 or uint8, or (H, W, 3) uint8.

    Args:
        root: folder of the manifest, or the URL of one, such as ``s3://bucket/slices``.
        row: with ``slice_id``, ``shard``, ``offset``, ``nbytes``, ``height``, ``width``, ``channels``, and, unless they
            are PNG of the usual type, ``codec`` and ``dtype``.

    Raises:
        ValueError: the row and the shard do not belong together.
        FileNotFoundError: the shard is not there.
        ImportError: the codec's package is not installed.
    """
    height, width, channels = int(row["height"]), int(row["width"]), int(row["channels"])
    if height * width > MAX_SLICE_PIXELS:
        raise ValueError(f"slice {row['slice_id']} declares {height} x {width} pixels, more than {MAX_SLICE_PIXELS}")
    dtype = np.dtype(row.get("dtype") or ("uint8" if channels == 3 else "uint16"))
    if int(row["nbytes"]) > 2 * height * width * channels * dtype.itemsize + MAX_OVERHEAD_BYTES:
        raise ValueError(f"slice {row['slice_id']} declares {row['nbytes']} bytes for {height} x {width} pixels")
    location = Location.of(root)
    chosen = codecs.codec(row.get("codec") or "png")
    data = location.read(row["shard"], int(row["offset"]), int(row["nbytes"]))
    try:
        return chosen.decode(data, (height, width, 3) if channels == 3 else (height, width), dtype)
    except MemoryError:
        raise
    except Exception as error:  # each codec has errors of its own for damaged bytes
        why = str(error) if type(error) is ValueError else type(error).__name__
        raise ValueError(
            f"slice {row['slice_id']} in {row['shard']} of {location} is not what the manifest says ({why}); "
            "run `python -m lvm_med_monai.slices verify` on the folder, then extract again"
        ) from error


def read_slice(root: str | os.PathLike[str] | Location, row: Mapping[str, Any]) -> NDArray[Any]:
    """One slice of a manifest, with a single read of the shard.

    Args:
        root: folder of the manifest, or the URL of one.
        row: one of ``read_manifest(root).to_pylist()``.

    Returns:
        (H, W) float32 in modality units (HU for CT), or (H, W, 3) uint8 for colour.

    Raises:
        ValueError: the row and the shard do not belong together.
        FileNotFoundError: the shard is not there.
        ImportError: the codec's package is not installed.
    """
    stored = read_stored(root, row)
    if stored.ndim == 3:
        return stored
    return (stored.astype(np.float64) * row["scale"] + row["intercept"]).astype(np.float32)
