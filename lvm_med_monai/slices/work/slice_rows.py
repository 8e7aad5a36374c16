"""Rows of the manifest: where a slice comes from, where it lies, and keyed hashes in place of names."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from lvm_med_monai import __version__
from lvm_med_monai.slices.identity import Identities
from lvm_med_monai.slices.selection import Tile
from lvm_med_monai.slices.source import Source
from lvm_med_monai.slices.splits import Splits
from lvm_med_monai.slices.stack import Stack
from lvm_med_monai.slices.store.manifest import SCHEMA_VERSION
from lvm_med_monai.slices.windows import Window


class SliceRows:
    """Makes the rows of one source.

    Args:
        source: the source.
        identities: keyed hashes.
        splits: shares of the patients of a source without a split of its own, or None.

    Attributes:
        unmatched: files in which the source's expression for patients was looked for and not found.
    """

    def __init__(self, source: Source, identities: Identities, splits: Splits | None) -> None:
        self.source, self._identities, self._splits = source, identities, splits
        self.unmatched: set[str] = set()
        self._root = (source.dataset, source.name)
        self._names: dict[Path, tuple[str, str]] = {}

    def begin(self) -> None:
        """Forget the names of the unit before."""
        self._names = {}

    def file_hash(self, path: Path) -> str:
        """Identity of a file: of its data set, source and path below the source."""
        return self._name(path)[1]

    def _name(self, path: Path) -> tuple[str, str]:
        """Path below the source, and its hash."""
        if path not in self._names:
            below = path.relative_to(self.source.path).as_posix()
            self._names[path] = below, self._identities.hash("file", *self._root, below)
        return self._names[path]

    def stack_id(self, unit: str, index: int) -> str:
        """What the ids of the slices of a stack begin with: 16 digits, unique to source, unit and stack."""
        return self._identities.hash("stack", *self._root, unit, str(index))[:16]

    def row(self, stack: Stack, tile: Tile, index: int, path: Path, window: Window) -> dict[str, Any]:
        """Everything about a slice but how it is stored.

        Args:
            stack: its stack.
            tile: the slice, or a tile of it.
            index: number of the stack within its unit.
            path: the file that holds the slice.
            window: default window of the stack.
        """
        height, width = tile.pixels.shape[:2]
        identity = self._identity_fields(stack, path)
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
            "dhash": tile.dhash,
            "foreground_fraction": tile.foreground,
            "split": self.source.split or self._split(identity["patient_h"]),
            "tool_version": __version__,
            **identity,
            **geometry_fields(stack, tile),
        }

    def _split(self, patient_h: str) -> str:
        return self._splits.of(patient_h) if self._splits is not None else ""

    def _identity_fields(self, stack: Stack, path: Path) -> dict[str, str]:
        # A DICOM series without identifiers is told by its folder, every other file by itself.
        dicom = stack.source_format == "dicom"
        file = path if dicom else stack.sources[0]
        below = self._name(file)[0]
        local = (*self._root, str(PurePosixPath(below).parent) if dicom else below)
        study = (stack.study_id,) if stack.study_id else local
        series = (stack.series_id,) if stack.series_id else local
        patient = self.source.patient_parts(stack.patient_id, file.name if below == "." else below)
        if patient is None and self.source.patient is not None:
            self.unmatched.add(below)
        return {
            "patient_h": self._identities.hash("patient", *(patient or study)),
            "study_h": self._identities.hash("study", *study),
            "series_h": self._identities.hash("series", *series),
        }


def geometry_fields(stack: Stack, tile: Tile) -> dict[str, Any]:
    """Manifest fields that say where a tile lies; null where it is not known."""
    geometry, index = stack.geometry, tile.slice_index
    sized, placed = "no_spacing" not in stack.flags, "no_geometry" not in stack.flags
    shift = tile.column * geometry.spacing[1] * geometry.row_cosines
    shift = shift + tile.row * geometry.spacing[0] * geometry.column_cosines
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
