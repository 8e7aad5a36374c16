"""Extracted slices as a map-style dataset."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from lvm_med_monai.data.manifest_rows import ManifestRows
from lvm_med_monai.slices import CT_WINDOWS, Window, apply_window
from lvm_med_monai.slices.store.location import Location
from lvm_med_monai.slices.store.shards import read_stored

WINDOW_TABLES = 64
"""Lookup tables of windows that are kept in each process, of at most 256 KiB."""

WindowChoice = Window | str | Callable[[Mapping[str, Any]], Window] | None


class SliceShardDataset(Dataset):
    """Windowed slices of a folder written by ``python -m lvm_med_monai.slices extract``, read by offset.

    An item is a dictionary: ``image``, float32 in [0, 1], shape (1, H, W) or (3, H, W) for colour; and the manifest's
    fields (see ``docs/slices.md``), such as ``modality`` and ``position_mm``, of which ``window_lower`` and
    ``window_upper`` are those that the image was windowed with.

    The manifest stays in columns, from which an item's fields are made when it is asked for, so 1.3 million slices
    need some 200 MB. A slice takes one read of its shard, which may lie in an object store.

    Args:
        root: folder of shards and manifest, or the URL of one that fsspec reaches, such as ``s3://bucket/slices``.
        where: which slices to keep, as the allowed values of manifest fields: ``{"split": ["train"]}``.
        transform: applied to each item, MONAI's or any callable.
        every_mm: keep slices of a stack at least this far apart along its normal, starting with the first; None for
            all. Slices without a position are kept. The slices are then sorted by data set, series and place.
        window: how grey slices are windowed: None as the manifest says, a window, the name of one in HU out of
            `CT_WINDOWS`, or a function from the item's fields to a window, such as a random one. Colour has none.

    Attributes:
        rows: the manifest's fields of each slice.

    Raises:
        FileNotFoundError: ``root`` holds no manifest.
        ValueError: ``where`` names an unknown field, no slice is left, or ``window`` does not fit the slices.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        where: Mapping[str, Collection[Any]] | None = None,
        transform: Callable[[dict[str, Any]], Any] | None = None,
        every_mm: float | None = None,
        window: WindowChoice = None,
    ) -> None:
        self.location = Location.of(root)
        self.transform = transform
        rows, wanted = ManifestRows.read(self.location), dict(where or {})
        if unknown := set(wanted) - set(rows.fields):
            raise ValueError(f"the manifest of {self.location.name} has no field {sorted(unknown)}: see docs/slices.md")
        self.rows = rows.where(wanted) if wanted else rows
        if not len(self.rows):
            raise ValueError(f"no slice of {self.location.name} (of {len(rows)}) has {wanted}")
        if every_mm is not None:
            self.rows = self.rows.spaced(every_mm)
        self.window = self._named_window(window) if isinstance(window, str) else window

    def _named_window(self, name: str) -> Window:
        if name not in CT_WINDOWS:
            raise ValueError(f"there is no window {name}; choose {', '.join(CT_WINDOWS)}, or give a Window")
        units, channels = self.rows.column("units"), self.rows.column("channels")
        if others := {unit for unit, n in zip(units, channels, strict=True) if n == 1 and unit != "HU"}:
            raise ValueError(
                f"window {name} is in HU, but some slices have units {', '.join(sorted(others))}: use where"
            )
        return CT_WINDOWS[name]

    def groups(self, *fields: str) -> list[tuple[Any, ...]]:
        """Values of manifest fields of each slice, such as modality and data set, for balanced sampling."""
        return list(zip(*(self.rows.column(name) for name in fields), strict=True))

    def __len__(self) -> int:
        """Number of slices."""
        return len(self.rows)

    def __getitem__(self, index: int) -> Any:
        """Read, window and transform one slice."""
        row = self.rows[index]
        if row["channels"] == 1:
            chosen = self.window(row) if callable(self.window) else self.window
            if chosen is not None:
                row |= {"window_lower": chosen.lower, "window_upper": chosen.upper}
        item = {**row, "image": windowed(read_stored(self.location, row), row)}
        return item if self.transform is None else self.transform(item)


def windowed(stored: NDArray[Any], row: Mapping[str, Any]) -> torch.Tensor:
    """Channel-first float32 in [0, 1] of stored pixels.

    Args:
        stored: (H, W) uint16 or uint8, or (H, W, 3) uint8, of `slices.shards.read_stored`.
        row: with ``scale``, ``intercept``, ``window_lower`` and ``window_upper``.

    Returns:
        (1, H, W) through the window, or (3, H, W), colour divided by 255.
    """
    if stored.ndim == 3:
        return torch.tensor(stored).permute(2, 0, 1).float() / 255
    steps = 1 << (8 * stored.itemsize)
    table = _window_table(row["window_lower"], row["window_upper"], row["scale"], row["intercept"], steps)
    return torch.from_numpy(table.take(stored))[None]


@lru_cache(maxsize=WINDOW_TABLES)
def _window_table(lower: float, upper: float, scale: float, intercept: float, steps: int) -> NDArray[np.float32]:
    """(steps,) windowed value of each stored one."""
    values = (np.arange(steps) * scale + intercept).astype(np.float32)
    return apply_window(values, Window(lower, upper))
