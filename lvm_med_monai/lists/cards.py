"""Cards: what is known of a data set."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

COLLECTIONS = ("pretraining", "downstream")
"""Folders of the cards."""
ROLES = ("image", "label", "boxes", "table")
FAMILIES = (
    "image_folders",
    "dicom",
    "nifti",
    "metaimage",
    "analyze",
    "hdf5",
    "coco",
    "case_folders",
    "image_mask_pairs",
    "csv_boxes",
)
RULES = ("official", "fixed", "seeded", "none")
UNITS = ("patient", "image", "volume")


@dataclass(frozen=True)
class FilePattern:
    """Files of one role.

    Attributes:
        role: image, label, boxes or table.
        glob: path below the root, with ``*``, ``?``, ``[..]``, ``{a,b}`` and ``**/``.
        required: a download without such a file is incomplete.
        note: for the reader.
    """

    role: str
    glob: str
    required: bool = True
    note: str | None = None


@dataclass(frozen=True)
class Layout:
    """Where the files of a download lie.

    Attributes:
        family: one of `FAMILIES`.
        files: which there are.
        pair: expression with one group whose text is equal for an image and its label; None if they do not pair.
        label_from: expression with one group whose text is the class of an image; None if the path does not say it.
    """

    family: str
    files: tuple[FilePattern, ...]
    pair: re.Pattern[str] | None = None
    label_from: re.Pattern[str] | None = None

    def of_role(self, role: str) -> tuple[FilePattern, ...]:
        """The patterns of one role."""
        return tuple(pattern for pattern in self.files if pattern.role == role)


@dataclass(frozen=True)
class SplitRule:
    """How samples are divided.

    Attributes:
        rule: one of `RULES`.
        unit: what is divided: patient, image or volume.
        parts: name -> share, glob, list of ids, or another part; see ``dataset_lists/README.md``.
        published_sizes: name -> number of samples; None where it is not known.
        seed: of a seeded rule.
        pool: glob of the images that are divided; None for all.
        published_list: file and keys of the published names in a clone of LVM-Med; None if there are none.
        flaws: what is wrong with it.
        safe: the rule to take instead, without the flaws; None if there is none.
    """

    rule: str = "none"
    unit: str = "image"
    parts: Mapping[str, Any] = field(default_factory=dict)
    published_sizes: Mapping[str, int | None] = field(default_factory=dict)
    seed: int | None = None
    pool: str | None = None
    published_list: Mapping[str, Any] | None = None
    flaws: tuple[str, ...] = ()
    safe: SplitRule | None = None


@dataclass(frozen=True)
class Card:
    """One data set.

    Attributes:
        id: name of the file and of the data set in manifests.
        collection: pretraining or downstream.
        title: as its authors write it.
        modalities: DICOM codes.
        anatomy: words.
        dimensions: 2 or 3.
        layout: its files.
        split: how it is divided.
        patient: expression with one group that names the patient in the path below the root; None if it is not known.
        patient_space: name space of the patients, shared with other sets; None for its own.
        labels: value -> meaning, in order.
        raw: the card as it was written, all fields.
    """

    id: str
    collection: str
    title: str
    modalities: tuple[str, ...]
    anatomy: tuple[str, ...]
    dimensions: int
    layout: Layout
    split: SplitRule
    patient: re.Pattern[str] | None
    patient_space: str | None
    labels: Mapping[str, str]
    raw: Mapping[str, Any]

    @property
    def paper_folder(self) -> str | None:
        """Folder of its list in the LVM-Med repository; None if the paper does not pretrain on it."""
        return (self.raw.get("paper") or {}).get("folder")

    @property
    def slices(self) -> Mapping[str, Any]:
        """How it is cut: modality, planes, every_mm, min_foreground, tile."""
        return self.raw.get("slices") or {}
