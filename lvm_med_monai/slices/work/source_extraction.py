"""Extraction of the units of one source: stacks -> kept slices -> shards and rows of the tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lvm_med_monai.slices.finite import finite
from lvm_med_monai.slices.geometry import Plane
from lvm_med_monai.slices.histogram import Histogram
from lvm_med_monai.slices.selection import Selection, SlicePolicy, Tile, foreground_threshold
from lvm_med_monai.slices.stack import FrameError, Reason, Reject, Stack, geometry_flags
from lvm_med_monai.slices.store.manifest import FILES, MANIFEST, REJECTS, SCHEMA_VERSION
from lvm_med_monai.slices.store.shards import ShardWriter, store
from lvm_med_monai.slices.store.storage import stored_window
from lvm_med_monai.slices.volumes.reformat import ACQUISITION, anisotropy, nearest_axis, reformat
from lvm_med_monai.slices.windows import Window
from lvm_med_monai.slices.work.settings import Settings
from lvm_med_monai.slices.work.slice_rows import SliceRows

DETAILS: dict[Reason, str] = {
    "background": "less foreground than the policy's min_foreground",
    "burned_in_risk": "may show text; look at it, then extract with --keep-burned-in",
    "flat": "all pixels are equal, or nearly",
    "near_duplicate": "looks like a slice of its stack that was kept before it",
    "plane": "its voxels are too unequal, or its slices too irregular, for planes that were not acquired",
    "small": "smaller than the policy's min_size",
    "spacing": "nearer to the slice before it than the policy's every_mm",
}
NO_OUTCOME = "an input file has no outcome; this is a fault of lvm_med_monai, please report it"

AddRow = Callable[[str, dict[str, Any]], None]


@dataclass(eq=False)
class SourceExtraction:
    """Processes units of one source one after the other, and accounts for each file.

    Attributes:
        rows: makes the rows of the source.
        settings: what to keep and how to store it.
        shards: where slices go.
        shard_folder: folder of the shards as the manifest names it.
        add_row: takes the name of a table and a row of it.
        on_slice: called after each slice that was written.
        dropped: reason -> tiles that the policy dropped.
        rejected: reason -> files that gave nothing.
    """

    rows: SliceRows
    settings: Settings
    shards: ShardWriter
    shard_folder: str
    add_row: AddRow
    on_slice: Callable[[], object] = lambda: None
    dropped: Counter[Reason] = field(default_factory=Counter)
    rejected: Counter[Reason] = field(default_factory=Counter)
    _unit: str = ""
    _stacks: int = 0
    _kept: dict[Path, Path] = field(default_factory=dict)
    _refused: dict[Path, Reject] = field(default_factory=dict)

    @property
    def policy(self) -> SlicePolicy:
        """The policy with the source's own planes."""
        policy = self.settings.policy
        return policy if self.rows.source.planes is None else replace(policy, planes=self.rows.source.planes)

    def begin(self, unit: str) -> None:
        """Begin a unit; its key makes the ids of its slices unique."""
        self._unit, self._stacks, self._kept, self._refused = unit, 0, {}, {}
        self.rows.begin()

    def finish(self, inputs: Iterable[Path]) -> None:
        """Write down what became of the files of the unit.

        Raises:
            RuntimeError: a file was neither kept nor refused.
        """
        common = {"schema_version": SCHEMA_VERSION, "dataset": self.rows.source.dataset}
        for path in inputs:
            row = {**common, "source_h": self.rows.file_hash(path)}
            if path in self._kept:
                primary = self.rows.file_hash(self._kept[path])
                self.add_row(FILES, {**row, "outcome": "manifest", "primary_h": primary})
            elif path in self._refused:
                reject = self._refused[path]
                self.add_row(FILES, {**row, "outcome": "rejects", "primary_h": row["source_h"]})
                self.rejected[reject.reason] += 1
                self.add_row(REJECTS, {**row, "reason": reject.reason, "detail": reject.detail})
            else:
                raise RuntimeError(NO_OUTCOME)

    def reject(self, path: Path, reason: Reason, detail: str | None = None) -> None:
        """Note why a file gave nothing; the first reason stands."""
        self._refused.setdefault(path, Reject(path, reason, DETAILS[reason] if detail is None else detail))

    def add(self, stack: Stack) -> None:
        """Write the kept slices of a stack."""
        index, self._stacks = self._stacks, self._stacks + 1
        if "burned_in_risk" in stack.flags and not self.settings.keep_burned_in:
            for path in stack.sources:
                self.reject(path, "burned_in_risk")
            return
        loaded = self._load(self._with_modality(stack))
        if loaded is None:
            return
        stack, frames = loaded
        histogram = None if stack.units == "HU" else Histogram.of(frames)
        windows = self._windows(stack, histogram)
        threshold = foreground_threshold(stack, histogram)
        for plane in self._planes(stack):
            letter = plane[0] if plane != ACQUISITION else "q"
            view, view_frames = (stack, frames) if plane == ACQUISITION else reformat(stack, frames, _named(plane))
            shown = windows if view is stack else windows[:1] * view.n_slices
            selection = Selection(view, view_frames, self.policy, threshold, self.rows.source.tile, shown)
            for count, tile in enumerate(selection):
                self._write(view, tile, index, f"{letter}{count:06d}", shown[tile.slice_index], view is not stack)
            self.dropped.update(selection.dropped)
            for slice_index, reason in selection.slice_reasons.items():
                self.reject(stack.sources[view.frame_sources[slice_index]], reason)
        self._settle(stack)

    def _windows(self, stack: Stack, histogram: Histogram | None) -> list[Window]:
        """Window of each slice; slices differ only where their files ask to be shown differently."""
        ranges = stack.display_ranges or (stack.display_range,) * stack.n_slices
        alike = {
            asked: stored_window(replace(stack, display_range=asked), self.settings.storage, histogram)
            for asked in dict.fromkeys(ranges)
        }
        return [alike[asked] for asked in ranges]

    def _settle(self, stack: Stack) -> None:
        """Account for files that hold no slice of their own: companions, and all but one of a reformatted plane."""
        first = self._refused.get(stack.sources[0])
        for path in stack.sources:
            if first is None or (stack.source_format == "dicom" and first.reason not in DETAILS):
                self.reject(path, "plane")
            else:
                self.reject(path, first.reason, first.detail)

    def _with_modality(self, stack: Stack) -> Stack:
        if self.rows.source.modality is None:
            return stack
        modality = self.rows.source.modality.upper()
        raw = stack.channels == 1 and stack.source_format != "dicom"
        return replace(stack, modality=modality, units="HU" if raw and modality == "CT" else stack.units)

    def _load(self, stack: Stack) -> tuple[Stack, NDArray[Any]] | None:
        """The stack without the slices that cannot be decoded, and its finite pixels; None if nothing is left."""
        good: list[int] = []
        flags = set(stack.flags)
        array = np.empty((stack.n_slices, *stack.frame_shape), dtype=stack.dtype)
        for i in range(stack.n_slices):
            slot = array[len(good)]
            try:
                _read_into(stack, i, slot)
            except FrameError as error:
                self.reject(error.reject.path, error.reject.reason, error.reject.detail)
                flags.add("missing")
                if stack.source_format != "dicom":
                    good = []  # its slices share one file, whose earlier ones cannot be trusted either
                    break
                continue
            if slot.dtype.kind == "f" and not np.isfinite(slot).all():
                flags.add("nan")
                slot[...] = finite(slot)
            good.append(i)
        if not good:
            for path in stack.sources:
                self.reject(path, "corrupt", "no slice of its stack can be decoded")
            return None
        if len(good) < stack.n_slices:
            geometry = stack.geometry.select(good)
            flags |= set() if "no_geometry" in flags else geometry_flags(geometry)
            sources = tuple(stack.frame_sources[i] for i in good)
            ranges = tuple(stack.display_ranges[i] for i in good if stack.display_ranges)
            stack = replace(stack, geometry=geometry, frame_sources=sources, display_ranges=ranges)
        array = array[: len(good)]
        return replace(stack, read_frame=lambda i: array[i], fill_frame=None, flags=frozenset(flags)), array

    def _planes(self, stack: Stack) -> list[str]:
        """Planes to cut; those that cannot be cut are counted as dropped, and those cut already are left out."""
        planes: list[str] = []
        for plane in self.policy.planes:
            acquired = plane == ACQUISITION or nearest_axis(stack, _named(plane)) == 2
            if (acquired and "no_geometry" not in stack.flags) or plane == ACQUISITION:
                if ACQUISITION not in planes:
                    planes.append(ACQUISITION)
            elif stack.channels == 1 and anisotropy(stack) <= self.policy.max_anisotropy:
                planes.append(plane)
            else:
                self.dropped["plane"] += 1
        return planes

    def _write(self, stack: Stack, tile: Tile, index: int, counter: str, window: Window, reformatted: bool) -> None:
        path = stack.sources[stack.frame_sources[tile.slice_index]]
        row = self.rows.row(stack, tile, index, path, window)
        stored = store(tile.pixels, self.settings.storage, window)
        row |= {
            "slice_id": f"{self.rows.stack_id(self._unit, index)}-{counter}",
            "codec": self.settings.storage.codec,
            "dtype": str(stored.pixels.dtype),
            "scale": stored.scale,
            "intercept": stored.intercept,
            "sha256_pixels": stored.digest,
            "flags": sorted(stack.flags | (set() if stored.exact else {"quantised"})),
        }
        name, offset, nbytes = self.shards.add(row["slice_id"], stored, row)
        self.add_row(MANIFEST, {**row, "shard": f"{self.shard_folder}/{name}", "offset": offset, "nbytes": nbytes})
        for contributor in stack.sources if reformatted or stack.source_format != "dicom" else (path,):
            self._kept.setdefault(contributor, path)
        self.on_slice()


def _read_into(stack: Stack, index: int, out: NDArray[Any]) -> None:
    if stack.fill_frame is not None:
        stack.fill_frame(index, out)
    else:
        out[...] = stack.frame(index)


def _named(plane: str) -> Plane:
    if plane not in ("axial", "coronal", "sagittal"):
        raise ValueError(f"{plane} is no anatomical plane")
    return plane  # type: ignore[return-value]  # mypy does not narrow str to a Literal by membership
