"""Extraction of one source: stacks -> kept slices -> one shard set and its tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lvm_med_monai import __version__
from lvm_med_monai.slices.geometry import Plane
from lvm_med_monai.slices.histogram import Histogram
from lvm_med_monai.slices.identity import Identities
from lvm_med_monai.slices.manifest import SCHEMA_VERSION
from lvm_med_monai.slices.reformat import ACQUISITION, anisotropy, nearest_axis, reformat
from lvm_med_monai.slices.selection import Selection, SlicePolicy, Tile, foreground_threshold
from lvm_med_monai.slices.shards import ShardWriter, store
from lvm_med_monai.slices.source import Source
from lvm_med_monai.slices.stack import FrameError, Reason, Reject, Stack, geometry_flags
from lvm_med_monai.slices.windows import Window, default_window

DETAILS: dict[Reason, str] = {
    "background": "less foreground than the policy's min_foreground",
    "burned_in_risk": "may show text; look at it, then extract with --keep-burned-in",
    "flat": "all pixels are equal, or nearly",
    "plane": "its voxels are too unequal, or its slices too irregular, for planes that were not acquired",
    "small": "smaller than the policy's min_size",
    "spacing": "nearer to the slice before it than the policy's every_mm",
}


@dataclass(eq=False)
class SourceExtraction:
    """Processes the stacks of one source one after the other, and remembers what became of each file.

    Attributes:
        source: the source.
        policy: what to keep; the source's planes already put in.
        identities: keyed hashes.
        shards: where slices go.
        shard_folder: folder of the shards as the manifest names it.
        keep_burned_in: whether stacks at risk of burned-in text are extracted.
        on_slice: called after each slice that was written.
        rows: of the manifest.
        kept: file -> the file whose hash is in its manifest rows.
        refused: file -> why it gave nothing.
        dropped: reason -> tiles that the policy dropped.
    """

    source: Source
    policy: SlicePolicy
    identities: Identities
    shards: ShardWriter
    shard_folder: str
    keep_burned_in: bool
    on_slice: Callable[[], object]
    rows: list[dict[str, Any]] = field(default_factory=list)
    kept: dict[Path, Path] = field(default_factory=dict)
    refused: dict[Path, Reject] = field(default_factory=dict)
    dropped: Counter[Reason] = field(default_factory=Counter)
    stack_count: int = 0

    def reject(self, path: Path, reason: Reason, detail: str | None = None) -> None:
        """Note why a file gave nothing; the first reason stands."""
        self.refused.setdefault(path, Reject(path, reason, DETAILS[reason] if detail is None else detail))

    def add(self, stack: Stack) -> None:
        """Write the kept slices of a stack."""
        index, self.stack_count = self.stack_count, self.stack_count + 1
        if "burned_in_risk" in stack.flags and not self.keep_burned_in:
            for path in stack.sources:
                self.reject(path, "burned_in_risk")
            return
        loaded = self._load(self._with_modality(stack))
        if loaded is None:
            return
        stack, frames = loaded
        histogram = Histogram.of(frames)
        window, threshold = default_window(stack, histogram), foreground_threshold(stack, histogram)
        for plane in self._planes(stack):
            letter = plane[0] if plane != ACQUISITION else "q"
            view, view_frames = (stack, frames) if plane == ACQUISITION else reformat(stack, frames, _named(plane))
            selection = Selection(view, view_frames, self.policy, threshold, self.source.tile)
            for count, tile in enumerate(selection):
                self._write(view, tile, index, f"{letter}{count:06d}", window, view is not stack)
            self.dropped.update(selection.dropped)
            for slice_index, reason in selection.slice_reasons.items():
                self.reject(stack.sources[view.frame_sources[slice_index]], reason)
        for path in stack.sources:
            # A companion, or a file whose slices went into a reformatted plane, is accounted for by its stack.
            self.reject(path, self.refused[stack.sources[0]].reason if stack.sources[0] in self.refused else "plane")

    def _with_modality(self, stack: Stack) -> Stack:
        if self.source.modality is None:
            return stack
        modality = self.source.modality.upper()
        raw = stack.channels == 1 and stack.source_format != "dicom"
        return replace(stack, modality=modality, units="HU" if raw and modality == "CT" else stack.units)

    def _load(self, stack: Stack) -> tuple[Stack, NDArray[Any]] | None:
        """The stack without the slices that cannot be decoded, and its finite pixels; None if nothing is left."""
        good: list[int] = []
        flags = set(stack.flags)
        array = np.empty((stack.n_slices, *stack.frame_shape), dtype=stack.dtype)
        for i in range(stack.n_slices):
            try:
                frame = stack.frame(i)
            except FrameError as error:
                self.reject(error.reject.path, error.reject.reason, error.reject.detail)
                flags.add("missing")
                continue
            if frame.dtype.kind == "f" and not np.isfinite(frame).all():
                flags.add("nan")
                frame = _finite(frame)
            array[len(good)] = frame
            good.append(i)
        if not good:
            for path in stack.sources:
                self.reject(path, "corrupt", "no slice of its stack can be decoded")
            return None
        if len(good) < stack.n_slices:
            geometry = stack.geometry.select(good)
            flags |= set() if "no_geometry" in flags else geometry_flags(geometry)
            sources = tuple(stack.frame_sources[i] for i in good)
            stack = replace(stack, geometry=geometry, frame_sources=sources)
        array = array[: len(good)]
        return replace(stack, read_frame=lambda i: array[i], flags=frozenset(flags)), array

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
        row = self._row(stack, tile, index, path, window)
        stored = store(tile.pixels)
        row |= {
            "slice_id": f"{self.identities.hash('stack', *self._root, str(index))[:16]}-{counter}",
            "dtype": str(stored.pixels.dtype),
            "scale": stored.scale,
            "intercept": stored.intercept,
            "sha256_pixels": stored.digest,
            "flags": sorted(stack.flags | (set() if stored.exact else {"quantised"})),
        }
        name, offset, nbytes = self.shards.add(row["slice_id"], stored, row)
        self.rows.append({**row, "shard": f"{self.shard_folder}/{name}", "offset": offset, "nbytes": nbytes})
        for contributor in stack.sources if reformatted or stack.source_format != "dicom" else (path,):
            self.kept.setdefault(contributor, path)
        self.on_slice()

    @property
    def _root(self) -> tuple[str, str]:
        return self.source.dataset, self.source.name

    def file_hash(self, path: Path) -> str:
        """Identity of a file: of its data set, source and path below the source."""
        return self.identities.hash("file", *self._root, path.relative_to(self.source.path).as_posix())

    def _row(self, stack: Stack, tile: Tile, index: int, path: Path, window: Window) -> dict[str, Any]:
        height, width = tile.pixels.shape[:2]
        return {
            "schema_version": SCHEMA_VERSION,
            "height": height,
            "width": width,
            "channels": stack.channels,
            "dataset": self.source.dataset,
            "source_h": self.file_hash(path),
            "source_format": stack.source_format,
            "transfer_syntax": stack.transfer_syntax,
            "stack_index": index,
            "slice_index": tile.slice_index,
            "n_slices": stack.n_slices,
            "tile_row": tile.row if self.source.tile is not None else None,
            "tile_column": tile.column if self.source.tile is not None else None,
            "modality": stack.modality,
            "units": stack.units,
            "window_lower": window.lower,
            "window_upper": window.upper,
            "foreground_fraction": tile.foreground,
            "split": self.source.split,
            "tool_version": __version__,
            **self._identity_fields(stack, path),
            **geometry_fields(stack, tile),
        }

    def _identity_fields(self, stack: Stack, path: Path) -> dict[str, str]:
        # A DICOM series without identifiers is told by its folder, every other file by itself.
        place = path.parent if stack.source_format == "dicom" else stack.sources[0]
        unit = self.source.path if place == self.source.path.parent else place
        local = (*self._root, unit.relative_to(self.source.path).as_posix())
        study = (stack.study_id,) if stack.study_id else local
        return {
            "patient_h": self.identities.hash("patient", *((stack.patient_id,) if stack.patient_id else study)),
            "study_h": self.identities.hash("study", *study),
            "series_h": self.identities.hash("series", *((stack.series_id,) if stack.series_id else local)),
        }


def geometry_fields(stack: Stack, tile: Tile) -> dict[str, Any]:
    """Manifest fields that say where a tile lies; null where it is not known."""
    geometry, index = stack.geometry, tile.slice_index
    sized, placed = "no_spacing" not in stack.flags, "no_geometry" not in stack.flags
    shift = geometry.affine[:3, :2] @ np.array([tile.column, tile.row], dtype=np.float64)
    return {
        "spacing_y": geometry.spacing[0] if sized else None,
        "spacing_x": geometry.spacing[1] if sized else None,
        "slice_spacing": geometry.slice_spacing if placed else None,
        "plane": geometry.plane if placed else "unknown",
        "position_mm": float(geometry.positions[index]) if placed else None,
        "origin": (geometry.origins[index] + shift).tolist() if placed else None,
        "row_cosines": geometry.row_cosines.tolist() if placed else None,
        "column_cosines": geometry.column_cosines.tolist() if placed else None,
    }


def _finite(frame: NDArray[Any]) -> NDArray[Any]:
    finite = frame[np.isfinite(frame)]
    return np.where(np.isfinite(frame), frame, finite.min() if finite.size else 0).astype(frame.dtype)


def _named(plane: str) -> Plane:
    if plane not in ("axial", "coronal", "sagittal"):
        raise ValueError(f"{plane} is no anatomical plane")
    return plane  # type: ignore[return-value]  # mypy does not narrow str to a Literal by membership
