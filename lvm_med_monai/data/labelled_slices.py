"""Extracted slices with classes, in the place of image files."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import Any

from lvm_med_monai.data.classes import read_labels
from lvm_med_monai.data.slice_shards import SliceShardDataset, WindowChoice


class LabelledSlices(Sequence[dict[str, Any]]):
    """Slices of a folder written by ``python -m lvm_med_monai.slices extract``, with the labels of a datalist.

    The datalist lies in the folder of the shards and names slices by their ``slice_id`` where it would name files; see
    `read_classes` for labels. An item has ``image`` (C, H, W), windowed to [0, 1], ``name``, the slice's id, and
    ``label``. Items are read when they are asked for. The axes are those that `AsPictured` gives of files.

    Args:
        root: folder of shards, manifest and datalist.
        section: of the datalist.
        classes: names of the classes.
        multi_label: whether an image can have several classes.
        uncertain: what becomes of labels of -1.
        window: how grey slices are windowed, see `SliceShardDataset`.

    Raises:
        FileNotFoundError: there is no manifest or no datalist.
        ValueError: the datalist names a slice that the manifest has not, or as `read_classes` raises.
    """

    def __init__(
        self,
        root: str | Path,
        section: str,
        classes: Sequence[str],
        multi_label: bool = False,
        uncertain: str = "ignore",
        window: WindowChoice = None,
    ) -> None:
        self.entries = read_labels(root, section, classes, multi_label, uncertain)
        names = [entry["name"] for entry in self.entries]
        self.slices = SliceShardDataset(root, window=window)
        rows = {name: row for row, name in enumerate(self.slices.rows.column("slice_id"))}
        unknown = sorted(set(names) - rows.keys())
        if unknown:
            raise ValueError(
                f"the datalist names {len(unknown)} slices that the manifest of {Path(root).name} has not, "
                f"such as {unknown[0]}: slices are named by their slice_id"
            )
        self.rows = [rows[name] for name in names]

    def take(self, places: Sequence[int]) -> LabelledSlices:
        """The slices at some places, in their order."""
        chosen = copy(self)
        chosen.entries = [self.entries[place] for place in places]
        chosen.rows = [self.rows[place] for place in places]
        return chosen

    def __len__(self) -> int:
        """Number of labelled slices."""
        return len(self.entries)

    def __getitem__(self, index: Any) -> Any:
        """An item; a list of them for a run of indices."""
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        image = self.slices[self.rows[index]]["image"]
        return {**self.entries[index], "image": image}
