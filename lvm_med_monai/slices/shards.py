"""Slices as PNG files inside tar archives, addressed by offset and length.

The archives are plain USTAR in WebDataset's layout (``<key>.png`` and ``<key>.json`` side by side), so the same bytes
serve sequential readers and, through the manifest, random access with a single read.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lvm_med_monai.slices.limits import MAX_SLICE_PIXELS

SHARD_BYTES = 256 << 20
"""A shard is closed when it has grown to this; object stores and page caches like a quarter of a gigabyte."""
COMPRESS_LEVEL = 1
"""Of deflate: on a 16-bit CT slice three times faster than Pillow's default, for 8 % more bytes."""
STEPS = 65535
"""Largest stored value."""
EXACT_FLOAT32 = 1 << 24
"""Integers up to this magnitude are exact in float32, the type that a slice is read back as."""


@dataclass(frozen=True, eq=False)
class Stored:
    """A slice as it is stored: ``value = stored * scale + intercept``.

    Attributes:
        pixels: (H, W) uint16, or (H, W, 3) uint8.
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
    return hashlib.sha256(np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("<")).tobytes()).hexdigest()


def store(pixels: NDArray[Any]) -> Stored:
    """Choose how to store a slice.

    Args:
        pixels: (H, W) finite numbers in modality units, or (H, W, 3) uint8.

    Returns:
        Colour as it is. Integers within a span of 16 bits exactly: with intercept 0 if none is negative or above
        65,535, else with the lowest value as intercept. Everything else in 65,535 linear steps from the lowest to the
        highest value, which is not exact.
    """
    if pixels.ndim == 3:
        return Stored(np.ascontiguousarray(pixels, dtype=np.uint8), 1.0, 0.0, exact=True)
    low, high = float(pixels.min()), float(pixels.max())
    integral = pixels.dtype.kind in "iub" or bool((pixels == np.rint(pixels)).all())
    if integral and high - low <= STEPS and max(abs(low), abs(high)) <= EXACT_FLOAT32:
        intercept = 0.0 if low >= 0 and high <= STEPS else low
        return Stored((pixels.astype(np.int64) - int(intercept)).astype(np.uint16), 1.0, intercept, exact=True)
    scale = (high - low) / STEPS or 1.0
    steps = np.rint((pixels.astype(np.float64) - low) / scale)
    return Stored(np.clip(steps, 0, STEPS).astype(np.uint16), scale, low, exact=False)


def encode_png(pixels: NDArray[Any]) -> bytes:
    """PNG of (H, W) uint16 or (H, W, 3) uint8, without any text."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=COMPRESS_LEVEL)
    return buffer.getvalue()


class ShardWriter:
    """Writes shards ``<prefix>-00000.tar`` and so on.

    The bytes depend on the slices, their keys and their order alone: times, owners and modes are fixed.

    Args:
        folder: existing folder for the shards.
        prefix: beginning of their names.
        max_bytes: size at which the next shard is begun.
    """

    def __init__(self, folder: Path, prefix: str, max_bytes: int = SHARD_BYTES) -> None:
        self.folder, self.prefix, self.max_bytes = folder, prefix, max_bytes
        self._count = 0
        self._tar: tarfile.TarFile | None = None
        self._name = ""

    def add(self, key: str, stored: Stored, fields: Mapping[str, Any]) -> tuple[str, int, int]:
        """Append a slice.

        Args:
            key: name inside the shard; letters, digits and hyphens, unique.
            stored: its pixels.
            fields: content of the JSON file beside it.

        Returns:
            File name of the shard, offset of the PNG in it, and the PNG's length in bytes.
        """
        if self._tar is None or self._tar.offset >= self.max_bytes:
            self._open()
        png = encode_png(stored.pixels)
        offset = self._append(key + ".png", png)
        self._append(key + ".json", json.dumps(fields, sort_keys=True, separators=(",", ":")).encode())
        return self._name, offset, len(png)

    def _append(self, name: str, data: bytes) -> int:
        assert self._tar is not None
        info = tarfile.TarInfo(name)
        info.size, info.mode = len(data), 0o644
        offset = self._tar.offset + tarfile.BLOCKSIZE
        self._tar.addfile(info, io.BytesIO(data))
        return offset

    def _open(self) -> None:
        self.close()
        self._name = f"{self.prefix}-{self._count:05d}.tar"
        # It stays open across calls; close(), which leaving the context calls, ends it
        self._tar = tarfile.open(self.folder / self._name, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
        self._count += 1

    def close(self) -> None:
        """Finish the last shard."""
        if self._tar is not None:
            self._tar.close()
            self._tar = None

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def read_stored(root: str | os.PathLike[str], row: Mapping[str, Any]) -> NDArray[Any]:
    """Stored pixels of a manifest row: (H, W) uint16 or (H, W, 3) uint8.

    Args:
        root: folder of the manifest.
        row: with ``shard``, ``offset``, ``nbytes``, ``height``, ``width`` and ``channels``.

    Raises:
        ValueError: the row and the shard do not belong together.
        FileNotFoundError: the shard is not there.
    """
    height, width, channels = int(row["height"]), int(row["width"]), int(row["channels"])
    if height * width > MAX_SLICE_PIXELS:
        raise ValueError(f"slice {row['slice_id']} declares {height} x {width} pixels, more than {MAX_SLICE_PIXELS}")
    path = Path(root) / row["shard"]
    with path.open("rb", buffering=0) as file:
        data = os.pread(file.fileno(), int(row["nbytes"]), int(row["offset"]))
    shape = (height, width, 3) if channels == 3 else (height, width)
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            if image.size != (width, height):
                raise ValueError(f"its PNG has {image.size[1]} x {image.size[0]} pixels")
            pixels = np.asarray(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(
            f"slice {row['slice_id']} in {path} is not what the manifest says ({error}); "
            "run `python -m lvm_med_monai.slices verify` on the folder, then extract again"
        ) from error
    return pixels.astype(np.uint8 if channels == 3 else np.uint16, copy=False).reshape(shape)


def read_slice(root: str | os.PathLike[str], row: Mapping[str, Any]) -> NDArray[Any]:
    """One slice of a manifest, with a single read of the shard.

    Args:
        root: folder of the manifest.
        row: one of ``read_manifest(root).to_pylist()``.

    Returns:
        (H, W) float32 in modality units (HU for CT), or (H, W, 3) uint8 for colour.

    Raises:
        ValueError: the row and the shard do not belong together.
        FileNotFoundError: the shard is not there.
    """
    stored = read_stored(root, row)
    if stored.ndim == 3:
        return stored
    return (stored.astype(np.float64) * row["scale"] + row["intercept"]).astype(np.float32)
