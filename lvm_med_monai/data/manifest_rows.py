"""Rows of a manifest that stays in columns: choosing, spacing and reading them without a dictionary for each."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from lvm_med_monai.data.columns import Column, column_of
from lvm_med_monai.slices.store.location import Location
from lvm_med_monai.slices.store.manifest import MANIFEST, read_columns

POSITION_TOLERANCE_MM = 1e-3
"""Positions are rounded when they are written; spacing is judged with this much room."""
STACK = ("series_h", "stack_index", "plane")
"""What tells one stack of slices from another."""
PLACE = ("dataset", *STACK, "slice_index")
"""What slices are sorted by; the data set comes first, since hashes of series change with the key."""


class Columns(dict[str, Column]):
    """Field -> its column; a class of its own, so that it can be referenced weakly."""

    rows = 0
    """Length of the columns."""


_shared: WeakValueDictionary[tuple[str, int, int, int], Columns] = WeakValueDictionary()


class ManifestRows(Sequence[dict[str, Any]]):
    """Some rows of a manifest, in a chosen order; each becomes a dictionary when it is asked for.

    Args:
        columns: field -> its column.
        indices: (n,) which of the rows.
    """

    def __init__(self, columns: Columns, indices: NDArray[np.int64]) -> None:
        self._columns = columns
        self._indices = indices

    @classmethod
    def read(cls, root: str | os.PathLike[str] | Location) -> ManifestRows:
        """All rows of a folder's manifest; raises as `slices.read_manifest`.

        Data sets of one manifest on a disk, such as its splits, share the columns while any of them lives.
        """
        location = Location.of(root)
        path = Path(location.url, MANIFEST)
        state = path.stat() if location.is_local and path.is_file() else None
        key = None if state is None else (str(path.absolute()), state.st_size, state.st_mtime_ns, state.st_ino)
        columns = _shared.get(key) if key is not None else None
        if columns is None:
            columns = _read_columns(location)
            if key is not None:
                _shared[key] = columns
        return cls(columns, np.arange(columns.rows))

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields."""
        return tuple(self._columns)

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> ManifestRows: ...
    def __getitem__(self, index: int | slice) -> dict[str, Any] | ManifestRows:
        """A row, or a run of them."""
        if isinstance(index, slice):
            return ManifestRows(self._columns, self._indices[index])
        row = int(self._indices[index])
        return {name: column.value(row) for name, column in self._columns.items()}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[index] for index in range(len(self)))

    def column(self, name: str) -> list[Any]:
        """Values of one field in all rows; raises KeyError if there is no such field."""
        column = self._columns[name]
        return [column.value(row) for row in self._indices.tolist()]

    def where(self, wanted: Mapping[str, Collection[Any]]) -> ManifestRows:
        """The rows whose fields have allowed values.

        Args:
            wanted: field -> allowed values; None among them allows missing values.
        """
        kept = np.ones(len(self), dtype=bool)
        for name, values in wanted.items():
            kept &= self._columns[name].allowed(values)[self._indices]
        return self._chosen(self._indices[kept])

    def spaced(self, every_mm: float) -> ManifestRows:
        """The rows whose slices lie at least ``every_mm`` apart along the normal of their stack, sorted by `PLACE`.

        The first slice of a stack counts, and all without a position.
        """
        keys = {name: self._columns[name].ranks()[self._indices] for name in PLACE}
        order = np.lexsort([keys[name] for name in reversed(PLACE)])
        stacks = np.stack([keys[name][order] for name in STACK])
        begins = np.ones(len(order), dtype=bool)
        begins[1:] = (stacks[:, 1:] != stacks[:, :-1]).any(axis=0)
        values = self.column("position_mm")
        positions = np.array([np.nan if value is None else value for value in values], dtype=np.float64)[order]
        kept = np.isnan(positions)
        placed = np.flatnonzero(~kept)
        kept[placed] = _far_enough(positions[placed], np.cumsum(begins)[placed] - 1, every_mm - POSITION_TOLERANCE_MM)
        return self._chosen(self._indices[order[kept]])

    def _chosen(self, indices: NDArray[np.int64]) -> ManifestRows:
        if 2 * len(indices) > len(self):
            return ManifestRows(self._columns, indices)
        # What most of is left out is not worth keeping
        columns = Columns({name: column.take(indices) for name, column in self._columns.items()})
        return ManifestRows(columns, np.arange(len(indices)))


def _read_columns(location: Location) -> Columns:
    import pyarrow as pa

    columns = Columns()
    for name, array in read_columns(location, MANIFEST):
        columns[name], columns.rows = column_of(array), len(array)
        del array  # before the next is read
        pa.default_memory_pool().release_unused()
    return columns


def _far_enough(positions: NDArray[np.float64], stacks: NDArray[np.int64], distance: float) -> NDArray[np.bool_]:
    """Whether each slice is kept; ``stacks`` ascends. Goes through all stacks at once, one slice of each a step."""
    kept = np.zeros(len(positions), dtype=bool)
    starts = np.flatnonzero(np.diff(stacks, prepend=-1))
    lengths = np.diff(starts, append=len(positions))
    longest_first = np.argsort(-lengths, kind="stable")
    starts, lengths = starts[longest_first], lengths[longest_first]
    last = np.full(len(starts), np.nan)
    for step in range(int(lengths[0]) if len(lengths) else 0):
        active = int(np.searchsorted(-lengths, -step, side="left"))
        at = starts[:active] + step
        far = ~(np.abs(positions[at] - last[:active]) < distance)
        kept[at[far]] = True
        last[:active][far] = positions[at[far]]
    return kept
