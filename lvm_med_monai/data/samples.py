"""What an entry of a datalist can name: a file, a folder of DICOM files, or a slice of an extracted folder.

A slice of a folder written by ``python -m lvm_med_monai.slices extract`` is ``FOLDER/SLICE_ID``, as if each slice were
a file of its own: ``{"image": "slices/4f1c09", "label": "masks/77ab2e"}``. The ids are in the manifest.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from lvm_med_monai.data.manifest_rows import ManifestRows
from lvm_med_monai.slices import FrameError, Reject, SliceGeometry, Stack, iter_stacks, read_slice
from lvm_med_monai.slices.store.manifest import MANIFEST

_FOLDERS_KEPT = 8
"""Extracted folders whose manifests are kept."""


def sample_exists(path: str | Path) -> bool:
    """Whether a path names a file, a folder or a slice of an extracted folder."""
    return Path(path).exists() or _is_extracted_slice(Path(path))


def stacks_at(path: str | Path) -> list[Stack | Reject]:
    """Stacks of a sample without decoding pixels, as `iter_stacks`, which knows neither GIF nor extracted slices.

    Raises:
        FileNotFoundError: nothing is there.
    """
    path = Path(path)
    if not path.exists() and _is_extracted_slice(path):
        return [_extracted(path)]
    if path.suffix.lower() == ".gif" and path.is_file():
        return [_gif(path)]
    return list(iter_stacks(path))


def _is_extracted_slice(path: Path) -> bool:
    return (path.parent / MANIFEST).is_file() and path.name in _manifest(path.parent).ids


@dataclass(frozen=True)
class _Manifest:
    """Rows of an extracted folder, and the row of each slice by its id."""

    rows: ManifestRows
    ids: dict[str, int]


def _manifest(folder: Path) -> _Manifest:
    return _kept(str(folder), (folder / MANIFEST).stat().st_mtime_ns)


@lru_cache(maxsize=_FOLDERS_KEPT)
def _kept(folder: str, changed: int) -> _Manifest:
    """Manifest of a folder; ``changed`` makes one that was written again another one."""
    rows = ManifestRows.read(folder)
    return _Manifest(rows, {name: row for row, name in enumerate(rows.column("slice_id"))})


def _extracted(path: Path) -> Stack:
    manifest = _manifest(path.parent)
    row = manifest.rows[manifest.ids[path.name]]
    located = row["origin"] is not None
    spacing = (row["spacing_y"] or 1.0, row["spacing_x"] or 1.0)
    origin = [row["origin"]] if located else [[0.0, 0.0, 0.0]]
    return Stack(
        read_frame=lambda index: read_slice(path.parent, row),
        geometry=SliceGeometry(
            np.array(origin),
            np.array(row["row_cosines"] if located else [1.0, 0, 0]),
            np.array(row["column_cosines"] if located else [0, 1.0, 0]),
            spacing,
        ),
        height=int(row["height"]),
        width=int(row["width"]),
        channels=int(row["channels"]),
        dtype=np.dtype(np.uint8 if row["channels"] == 3 else np.float32),
        modality=row["modality"],
        units=row["units"],
        source_format=row["source_format"],
        sources=(path,),
        frame_sources=(0,),
    )


def _gif(path: Path) -> Stack | Reject:
    """A GIF of one picture, as masks of DRIVE and of SCR are stored; in grey."""
    try:
        with Image.open(path, formats=("GIF",)) as image:
            width, height, frames = image.width, image.height, getattr(image, "n_frames", 1)
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        return Reject(path, "corrupt", f"the GIF cannot be read ({type(error).__name__})")
    if frames > 1:
        return Reject(path, "unsupported", f"the GIF moves: it has {frames} pictures, expected one")

    def read_frame(index: int) -> NDArray[Any]:
        try:
            with Image.open(path, formats=("GIF",)) as image:
                return np.asarray(image.convert("L"))
        except (OSError, ValueError) as error:
            raise FrameError(Reject(path, "corrupt", "the GIF cannot be decoded; copy the file again")) from error

    return Stack(
        read_frame=read_frame,
        geometry=SliceGeometry(np.zeros((1, 3)), np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), (1.0, 1.0)),
        height=height,
        width=width,
        channels=1,
        dtype=np.dtype(np.uint8),
        modality="unknown",
        units="display",
        source_format="gif",
        sources=(path,),
        frame_sources=(0,),
        flags=frozenset({"no_geometry", "no_spacing"}),
        display_range=(0.0, 255.0),
    )
