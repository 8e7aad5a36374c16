"""Which slices of a stack are worth keeping, and why the others are not."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lvm_med_monai.slices.geometry import SliceGeometry
from lvm_med_monai.slices.histogram import Histogram
from lvm_med_monai.slices.stack import Reason, Stack
from lvm_med_monai.slices.store.dhash import difference_hash
from lvm_med_monai.slices.volumes.reformat import ACQUISITION, PLANES
from lvm_med_monai.slices.windows import Window, default_window

HASH_BITS = 64
"""Of a difference hash."""
BODY_HU = -500.0
"""CT pixels above this are body; half way between air and water."""


@dataclass(frozen=True)
class SlicePolicy:
    """What to keep.

    Attributes:
        planes: "acquisition", "axial", "coronal", "sagittal"; planes that were not acquired are cut from volumes whose
            voxel sizes differ by at most ``max_anisotropy``, and refused (reason ``plane``) otherwise.
        every_mm: keep a slice only if it lies at least this far behind the last one kept, mm; 0 keeps all. Slices
            without geometry are all kept.
        min_foreground: smallest share of foreground pixels (see `foreground_threshold`), in [0, 1].
        min_std: smallest standard deviation, modality units; a flat image teaches nothing.
        min_size: smallest height and width, pixels.
        max_anisotropy: largest ratio of voxel sizes for planes that were not acquired.
        near_duplicates: drop a slice whose difference hash is at most this many of 64 bits (see `dhash`) away from that
            of a slice kept before it in the same stack; 2 is a good start, None keeps them.

    Raises:
        ValueError: for a plane that is not known, or numbers out of range.
    """

    planes: tuple[str, ...] = (ACQUISITION,)
    every_mm: float = 3.0
    min_foreground: float = 0.05
    min_std: float = 1e-6
    min_size: int = 32
    max_anisotropy: float = 1.5
    near_duplicates: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "planes", tuple(self.planes))
        if not self.planes or set(self.planes) - set(PLANES):
            raise ValueError(f"planes must be some of {', '.join(PLANES)}, got {self.planes}")
        if self.every_mm < 0 or not 0 <= self.min_foreground <= 1 or self.min_std < 0 or self.min_size < 1:
            raise ValueError("every_mm and min_std must not be negative, min_foreground in [0, 1], min_size positive")
        if self.max_anisotropy < 1:
            raise ValueError(f"max_anisotropy is a ratio of at least 1, got {self.max_anisotropy}")
        if self.near_duplicates is not None and not 0 <= self.near_duplicates <= HASH_BITS:
            raise ValueError(f"near_duplicates is a number of bits from 0 to {HASH_BITS}, got {self.near_duplicates}")


@dataclass(frozen=True, eq=False)
class Tile:
    """A kept image: a slice, or a tile of one.

    Attributes:
        slice_index: of its slice in the stack.
        row: first pixel row of the tile in the slice.
        column: first pixel column.
        pixels: (H, W) or (H, W, 3).
        foreground: share of foreground pixels.
        dhash: difference hash, see `dhash.difference_hash`.
    """

    slice_index: int
    row: int
    column: int
    pixels: NDArray[Any]
    foreground: float
    dhash: str = ""


@dataclass(eq=False)
class Selection:
    """Iterates over the kept tiles of one stack, and counts what it drops.

    Attributes:
        stack: the stack.
        frames: (S, H, W) or (S, H, W, 3) its pixels, finite.
        policy: what to keep.
        threshold: foreground is above it.
        tile: edge of square tiles, pixels; None keeps slices whole. The remainder at the right and the bottom, and
            tiles of slices smaller than a tile, are left out or kept whole, respectively.
        windows: (S,) window of each slice, for the difference hashes; `windows.default_window` of the stack if None.
        dropped: reason -> number of tiles.
        slice_reasons: slice index -> why its last dropped tile was dropped.
    """

    stack: Stack
    frames: NDArray[Any]
    policy: SlicePolicy
    threshold: float
    tile: int | None = None
    windows: Sequence[Window] | None = None
    dropped: Counter[Reason] = field(default_factory=Counter)
    slice_reasons: dict[int, Reason] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Tile]:
        windows = self.windows if self.windows is not None else [default_window(self.stack)] * self.stack.n_slices
        kept: list[int] = []
        spaced = set(spaced_indices(self.stack, self.policy.every_mm))
        for index in range(self.stack.n_slices):
            if index not in spaced:
                self._drop(index, "spacing")
                continue
            for row, column, pixels in tiles(self.frames[index], self.tile):
                foreground = share_above(pixels, self.threshold)
                reason = self._fault(pixels, foreground)
                dhash = "" if reason else difference_hash(pixels, windows[index])
                if reason is None and self._is_known(int(dhash, 16), kept):
                    reason = "near_duplicate"
                if reason:
                    self._drop(index, reason)
                else:
                    kept.append(int(dhash, 16))
                    yield Tile(index, row, column, pixels, foreground, dhash)

    def _fault(self, pixels: NDArray[Any], foreground: float) -> Reason | None:
        if min(pixels.shape[:2]) < self.policy.min_size:
            return "small"
        if is_flat(pixels, self.policy.min_std):
            return "flat"
        return "background" if foreground < self.policy.min_foreground else None

    def _is_known(self, own: int, kept: list[int]) -> bool:
        limit = self.policy.near_duplicates
        return limit is not None and any((own ^ other).bit_count() <= limit for other in kept)

    def _drop(self, index: int, reason: Reason) -> None:
        self.dropped[reason] += 1
        self.slice_reasons[index] = reason


def share_above(pixels: NDArray[Any], threshold: float) -> float:
    """Share of pixels above a threshold; in integers where they are, which costs an eighth of a float comparison."""
    limit = math.floor(threshold) if pixels.dtype.kind in "iu" else threshold
    return int(np.count_nonzero(pixels > limit)) / pixels.size


def is_flat(pixels: NDArray[Any], min_std: float) -> bool:
    """Whether the standard deviation is below ``min_std``.

    Of n values with range r it lies between r / sqrt(2 n) and r / 2, which settles nearly all cases without computing
    it.
    """
    extent = float(pixels.max()) - float(pixels.min())
    if extent / 2 < min_std:
        return True
    return extent < min_std * math.sqrt(2 * pixels.size) and float(np.std(pixels, dtype=np.float64)) < min_std


def foreground_threshold(stack: Stack, histogram: Histogram | None = None) -> float:
    """Value above which a pixel is foreground, in modality units.

    ``BODY_HU`` for CT in HU, Otsu's threshold of the whole series for other raw values, the darkest value for images
    that are made for display.

    Args:
        stack: the series.
        histogram: of all its pixels; read from the stack if it is needed and None.
    """
    if stack.units == "HU":
        return BODY_HU
    histogram = Histogram.of(stack.array()) if histogram is None else histogram
    return histogram.otsu() if stack.units == "raw" else histogram.first


def spaced_indices(stack: Stack, every_mm: float) -> list[int]:
    """Slices at least ``every_mm`` mm behind the last one kept, beginning with the first; all without geometry.

    A hundredth of ``every_mm`` is forgiven, so 3 mm means every third slice of a 1 mm stack in spite of rounding.
    """
    if every_mm == 0 or "no_geometry" in stack.flags:
        return list(range(stack.n_slices))
    return _spaced(stack.geometry, every_mm * 0.99)


def _spaced(geometry: SliceGeometry, distance: float) -> list[int]:
    kept: list[int] = []
    for index, position in enumerate(geometry.positions):
        if not kept or abs(position - geometry.positions[kept[-1]]) >= distance:
            kept.append(index)
    return kept


def tiles(frame: NDArray[Any], edge: int | None) -> Iterator[tuple[int, int, NDArray[Any]]]:
    """(first row, first column, pixels) of the square tiles of a frame (H, W) or (H, W, 3), row by row.

    A frame that is smaller than a tile in either direction, or no ``edge``, gives the frame itself.
    """
    height, width = frame.shape[:2]
    if edge is None or height < edge or width < edge:
        yield 0, 0, frame
        return
    for row in range(0, height - edge + 1, edge):
        for column in range(0, width - edge + 1, edge):
            yield row, column, frame[row : row + edge, column : column + edge]
