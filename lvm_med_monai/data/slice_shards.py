"""Extracted slices as a map-style dataset."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

from lvm_med_monai.slices import Window, apply_window, read_manifest, read_slice

_POSITION_TOLERANCE_MM = 1e-3
"""Positions are rounded when they are written; spacing is judged with this much room."""


class SliceShardDataset(Dataset):
    """Windowed slices of a folder written by ``python -m lvm_med_monai.slices extract``, read by offset.

    An item is a dictionary: ``image``, float32 in [0, 1], shape (1, H, W) or (3, H, W) for colour, windowed as the
    manifest says; and the manifest's fields (see ``docs/slices.md``), such as ``modality`` and ``position_mm``.

    Args:
        root: folder of shards and manifest.
        where: which slices to keep, as the allowed values of manifest fields: ``{"split": ["train"]}``.
        transform: applied to each item, MONAI's or any callable.
        every_mm: keep slices of a stack at least this far apart along its normal, starting with the first; None for
            all. Slices without a position are kept.

    Raises:
        FileNotFoundError: ``root`` holds no manifest.
        ValueError: ``where`` names an unknown field, or no slice is left.
    """

    def __init__(
        self,
        root: str | Path,
        where: Mapping[str, Collection[Any]] | None = None,
        transform: Callable[[dict[str, Any]], Any] | None = None,
        every_mm: float | None = None,
    ) -> None:
        self.root = Path(root)
        self.transform = transform
        table = read_manifest(self.root)
        unknown = set(where or {}) - set(table.column_names)
        if unknown:
            raise ValueError(f"the manifest of {self.root.name} has no field {sorted(unknown)}: see docs/slices.md")
        wanted = dict(where or {})
        kept = [row for row in table.to_pylist() if all(row[name] in allowed for name, allowed in wanted.items())]
        if not kept:
            raise ValueError(f"no slice of {self.root.name} (of {table.num_rows}) has {wanted}")
        self.rows: list[dict[str, Any]] = kept if every_mm is None else _spaced(kept, every_mm)

    def groups(self, *fields: str) -> list[tuple[Any, ...]]:
        """Values of manifest fields of each slice, such as modality and data set, for balanced sampling."""
        return [tuple(row[name] for name in fields) for row in self.rows]

    def __len__(self) -> int:
        """Number of slices."""
        return len(self.rows)

    def __getitem__(self, index: int) -> Any:
        """Read, window and transform one slice."""
        row = self.rows[index]
        item = {**row, "image": windowed(read_slice(self.root, row), row)}
        return item if self.transform is None else self.transform(item)


def _spaced(rows: list[dict[str, Any]], every_mm: float) -> list[dict[str, Any]]:
    """Rows whose slices lie at least ``every_mm`` apart in their stack, by data set, stack and position."""
    last: dict[tuple[Any, ...], float] = {}
    kept = []
    for row in sorted(rows, key=_place):
        stack = (row["series_h"], row["stack_index"], row["plane"])
        position = row["position_mm"]
        if position is not None and stack in last and abs(position - last[stack]) < every_mm - _POSITION_TOLERANCE_MM:
            continue
        if position is not None:
            last[stack] = position
        kept.append(row)
    return kept


def _place(row: dict[str, Any]) -> tuple[Any, ...]:
    """Sorts slices; the data set comes first, since hashes of series change with the key."""
    return row["dataset"], row["series_h"], row["stack_index"], row["plane"], row["slice_index"]


def windowed(pixels: Any, row: Mapping[str, Any]) -> torch.Tensor:
    """Channel-first float32 in [0, 1]: grey slices (H, W) through the row's window, colour (H, W, 3) by 255."""
    if pixels.ndim == 3:
        return torch.tensor(pixels).permute(2, 0, 1).float() / 255
    window = Window(row["window_lower"], row["window_upper"])
    return torch.from_numpy(apply_window(pixels, window))[None]
