"""What the user wants to be extracted."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lvm_med_monai.slices.volumes.reformat import PLANES

KEYS = ("path", "dataset", "modality", "tile", "planes", "split", "patient", "patients")
MAX_PATTERN = 500
"""Characters of a regular expression; one that needs more is a mistake."""


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
        patient: regular expression with one group, searched in the path below the source (the file's name if the source
            is a file), with forward slashes. The group's text names the patient of files without a PatientID, as
            ``(sub-[0-9]+)/`` does in BIDS. A file in which it is not found counts as a patient of its own.
        patients: name space of the patients, the same for data sets with common patients. By default a name found by
            ``patient`` belongs to the data set, and a PatientID to a space that all data sets share.

    Raises:
        ValueError: for a tile below 1, a plane that is not known, or a ``patient`` that is no such expression.
    """

    path: Path
    dataset: str = "unnamed"
    modality: str | None = None
    tile: int | None = None
    planes: tuple[str, ...] | None = None
    split: str = ""
    patient: str | None = None
    patients: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))
        if self.planes is not None:
            object.__setattr__(self, "planes", tuple(self.planes))
            if unknown := set(self.planes) - set(PLANES):
                raise ValueError(f"planes of {self.path} must be some of {', '.join(PLANES)}, got {sorted(unknown)}")
        if self.tile is not None and self.tile < 1:
            raise ValueError(f"tile of {self.path} is an edge in pixels of at least 1, got {self.tile}")
        if self.patient is not None and self._pattern.groups != 1:
            groups = self._pattern.groups
            raise ValueError(f"patient of {self.path} needs one group, as in (sub-[0-9]+)/, and has {groups}")
        if self.patients == "":
            raise ValueError(f"patients of {self.path} is the name of a name space; leave it out to have none")

    @property
    def name(self) -> str:
        """The path as given, without redundant parts; the root of this source's identities."""
        return Path(os.path.normpath(self.path)).as_posix()

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        pattern = self.patient or ""
        if len(pattern) > MAX_PATTERN:
            raise ValueError(f"patient of {self.path} has {len(pattern)} characters, more than {MAX_PATTERN}")
        try:
            return re.compile(pattern)
        except (re.error, RecursionError, OverflowError) as error:
            raise ValueError(f"patient of {self.path} is no regular expression: {error}") from error

    def patient_parts(self, patient_id: str, below: str) -> tuple[str, ...] | None:
        """What the keyed hash of a patient is made of.

        Args:
            patient_id: DICOM's PatientID, or empty.
            below: path of the file below the source, or the file's name if the source is a file. In an archive, the
                member's name.

        Returns:
            Name space and name; a PatientID without ``patients`` stands alone. None if nothing names the patient.
        """
        if patient_id:
            return (patient_id,) if self.patients is None else (self.patients, patient_id)
        if self.patient is None:
            return None
        found = self._pattern.search(below)
        if found is None or not found.group(1):
            return None
        return (self.dataset if self.patients is None else self.patients, found.group(1))


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
