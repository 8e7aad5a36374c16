"""What a tricky series is: a function that writes its files and returns the truth about them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from tests.slices.factories import SPACING_Z, dicom_slice, save, stored_pixels

Origins = list[tuple[float, float, float]]
RAW = {"RescaleSlope": None, "RescaleIntercept": None}
"""Changes that leave an image without rescale."""


@dataclass(frozen=True)
class Expected:
    """One stack: its slices in order.

    Attributes:
        values: (H, W) in modality units or (H, W, 3) RGB of each slice.
        origins: centre of the first pixel of each slice, LPS mm; None where the series has no geometry.
        flags: exactly these.
    """

    values: list[np.ndarray]
    origins: Origins | None
    flags: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Truth:
    """What a folder holds.

    Attributes:
        stacks: in any order.
        rejects: from file name to reason.
    """

    stacks: list[Expected]
    rejects: Mapping[str, str] = field(default_factory=dict)

    @property
    def damaged(self) -> bool:
        """Whether slices are lost, of which a reader has to speak."""
        return bool({"truncated", "corrupt", "empty"} & set(self.rejects.values()))


CASES: dict[str, Callable[[Path], Truth]] = {}
"""Every case by its name."""


def case(make: Callable[[Path], Truth]) -> Callable[[Path], Truth]:
    """Register a case under the name of its function."""
    CASES[make.__name__] = make
    return make


def hu(index: int, intercept: int = -1024) -> np.ndarray:
    """Slice ``index`` of the usual CT."""
    return stored_pixels(index).astype(np.int32) + intercept


def at(index: int) -> tuple[float, float, float]:
    """Its place."""
    return (-20.0, -10.0, index * SPACING_Z)


def ct(indices: Iterable[int], *flags: str, intercept: int = -1024) -> Expected:
    """A stack of slices of the usual CT."""
    indices = list(indices)
    return Expected([hu(i, intercept) for i in indices], [at(i) for i in indices], frozenset(flags))


def write(
    folder: Path, count: int = 5, change: Callable[[int], dict[str, Any]] = lambda i: {}, name: str = "a"
) -> None:
    """The usual CT, with changes; file names are not in the order of slices."""
    for i in range(count):
        save(dicom_slice(i, **change(i)), folder / file_name(i, name))


def file_name(index: int, name: str = "a") -> str:
    """Name of the file that holds a slice."""
    return f"{name}{index * 3 % 7:03d}.dcm"


def unplaced(values: list[np.ndarray], *flags: str) -> Expected:
    """A stack without geometry."""
    return Expected(values, None, frozenset({"no_geometry", "instance_order", *flags}))


def frames_of(dataset: Dataset, values: np.ndarray, **attributes: Any) -> Dataset:
    """Put pixels and attributes into a data set."""
    dataset.Rows, dataset.Columns = values.shape[:2]
    dataset.PixelData = values.tobytes() + b"\0" * (values.nbytes % 2)
    for key, value in attributes.items():
        setattr(dataset, key, value)
    return dataset


def change_syntax(path: Path, old: str, new: str) -> None:
    """Name a transfer syntax that pydicom does not write."""
    data = path.read_bytes()
    before, after = (text.encode() + b"\0" * (len(text) % 2) for text in (old, new))
    head = struct.pack("<HH2sH", 2, 0x10, b"UI", len(before)) + before
    assert data.count(head) == 1
    data = data.replace(head, struct.pack("<HH2sH", 2, 0x10, b"UI", len(after)) + after)
    group_length = struct.unpack_from("<L", data, 140)[0] + len(after) - len(before)
    path.write_bytes(data[:140] + struct.pack("<L", group_length) + data[144:])
