"""What the user wants to be extracted."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from lvm_med_monai.slices.reformat import PLANES

KEYS = ("path", "dataset", "modality", "tile", "planes", "split")


@dataclass(frozen=True)
class Source:
    """One input file or folder.

    Attributes:
        path: file or folder. Identities of files without a PatientID derive from it as it is written here, so write it
            the same way each time.
        dataset: name of the data set.
        modality: replaces what the files say; "CT" makes the values HU, for formats that cannot say so.
        tile: edge of square tiles, pixels, for large plain images; None keeps slices whole.
        planes: replaces the policy's planes.
        split: "train", "test" or another name; empty if undecided.

    Raises:
        ValueError: for a tile below 1 or a plane that is not known.
    """

    path: Path
    dataset: str = "unnamed"
    modality: str | None = None
    tile: int | None = None
    planes: tuple[str, ...] | None = None
    split: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))
        if self.planes is not None:
            object.__setattr__(self, "planes", tuple(self.planes))
            if unknown := set(self.planes) - set(PLANES):
                raise ValueError(f"planes of {self.path} must be some of {', '.join(PLANES)}, got {sorted(unknown)}")
        if self.tile is not None and self.tile < 1:
            raise ValueError(f"tile of {self.path} is an edge in pixels of at least 1, got {self.tile}")

    @property
    def name(self) -> str:
        """The path as given, without redundant parts; the root of this source's identities."""
        return Path(os.path.normpath(self.path)).as_posix()


def read_sources(path: Path) -> list[Source]:
    """Sources from a JSON file: a list of objects with the attributes of `Source`, of which only ``path`` is required.

    Relative paths start at the folder of the JSON file.

    Raises:
        ValueError: the file is not such a list.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(entries, list) or not entries:
            raise ValueError("it is no list of objects")
        sources = []
        for entry in entries:
            if not isinstance(entry, dict) or "path" not in entry or set(entry) - set(KEYS):
                raise ValueError(f"each entry needs a path, and may have {', '.join(KEYS[1:])}; got {entry}")
            sources.append(Source(**{**entry, "path": path.parent / entry["path"]}))
    except (json.JSONDecodeError, ValueError, TypeError) as error:
        raise ValueError(f"{path} lists no sources: {error}") from error
    return sources
