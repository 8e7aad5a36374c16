"""MONAI datalists of a download, by the rule of its card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lvm_med_monai.lists.boxes import Box, boxes_of, class_numbers
from lvm_med_monai.lists.cards import Card
from lvm_med_monai.lists.dicom_patients import with_patients
from lvm_med_monai.lists.globs import files_below
from lvm_med_monai.lists.partition import ALL, Partition, divide
from lvm_med_monai.lists.samples import Contents, Sample, samples_of, sort_files
from lvm_med_monai.whole_file import whole_file

SECTIONS = {"train": "training"}
"""MONAI's names of parts, where they differ."""


@dataclass(frozen=True)
class Datalist:
    """A datalist and what was left out of it.

    Attributes:
        sections: training, validation, test: entries with ``image`` and, as the card has them, ``label``, ``box``.
        partition: the samples behind it.
        unlabelled: samples that were left out because their label is missing.
        notes: what the user should know.
    """

    sections: Mapping[str, list[dict[str, Any]]]
    partition: Partition
    unlabelled: tuple[str, ...]
    notes: tuple[str, ...]

    def write(self, path: Path) -> None:
        """Write it as JSON; half of one is never seen."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as partial:
            partial.write_text(json.dumps(self.sections, indent=1) + "\n", encoding="utf-8")


def make_datalist(
    card: Card,
    root: Path,
    avoid_flaws: bool = False,
    unseen: frozenset[str] = frozenset(),
    prefix: str = "",
    clone: Path | None = None,
) -> Datalist:
    """Datalist of a download.

    Paths are relative to ``root``, with forward slashes. Several images or masks of a sample are a list, in the order
    of the card. Classes are numbers (see `boxes.class_numbers`); boxes are left, top, right, bottom in pixels, under
    ``box``, with their classes under ``label``, as MONAI's detection takes them.

    Args:
        card: the card.
        root: the download.
        avoid_flaws: take the safe rule in place of one with flaws.
        unseen: names of samples to leave out, such as those of an overlap; the others stay in their parts.
        prefix: what paths begin with, if the datalist lies elsewhere than ``root``.

        clone: of the LVM-Med repository, whose published names are taken in place of the card's rule.

    Raises:
        FileNotFoundError: no folder, no image in it, or no published names in the clone.
        ValueError: the card's rule or its labels do not fit.
    """
    contents = sort_files(card, files_below(root))
    samples = samples_of(card, contents)
    if not samples:
        raise FileNotFoundError(
            f"no image of {card.id} below {root}; `lists check {card.id} {root}` says what is missing"
        )
    labelled = _Labels(card, root, contents, samples, prefix)
    wanted = [sample for sample in samples if not labelled.is_bare(sample)]
    divided = divide(card, with_patients(card, root, wanted), avoid_flaws, clone)
    sections = {
        SECTIONS.get(name, name): [
            entry for sample in part if sample.name not in unseen and (entry := labelled.entry(sample)) is not None
        ]
        for name, part in divided.parts.items()
    }
    notes = _notes(card, contents, divided, avoid_flaws)
    if len(wanted) < len(samples):
        notes.append(
            f"{len(samples) - len(wanted):,} images without a mask, which the card does not require, were left out"
        )
    return Datalist(sections, divided, tuple(sorted(labelled.missing)), tuple(notes))


class _Labels:
    """Knows how the samples of a card are labelled."""

    def __init__(self, card: Card, root: Path, contents: Contents, samples: list[Sample], prefix: str) -> None:
        self.prefix = prefix
        classified = ((card.raw.get("task") or {}).get("kind")) == "classification"
        self.masks = card.layout.pair is not None and bool(contents.of_role("label")) and not classified
        self.numbers: dict[str, int] = {}
        self.boxes: dict[str, list[Box]] | None = None
        self.missing: set[str] = set()
        needed = all(pattern.required for pattern in card.layout.of_role("label"))
        self.optional = {s.name for s in samples if not (needed and contents.is_required(card, s))}
        classes = {sample.class_name for sample in samples if sample.class_name is not None}
        if card.layout.label_from is not None and card.labels:
            self.numbers = class_numbers(card, classes)
        if contents.of_role("boxes"):
            self.boxes = boxes_of(card, root, contents, samples)
            self.numbers |= class_numbers(card, {box.name for boxes in self.boxes.values() for box in boxes})

    def is_bare(self, sample: Sample) -> bool:
        """Whether a sample has no mask and the card does not require that it has one."""
        return self.masks and self.boxes is None and not sample.labels and sample.name in self.optional

    def entry(self, sample: Sample) -> dict[str, Any] | None:
        """Entry of a sample; None if it has no mask."""
        images = [self.prefix + image for image in sample.images]
        entry: dict[str, Any] = {"image": images[0] if len(images) == 1 else images}
        if self.boxes is not None:
            boxes = self.boxes[sample.name]
            entry["box"] = [list(box.edges) for box in boxes]
            entry["label"] = [self.numbers[box.name] for box in boxes]
        elif self.masks:
            if not sample.labels:
                self.missing.add(sample.name)
                return None
            masks = [self.prefix + label for label in sample.labels]
            entry["label"] = masks[0] if len(masks) == 1 else masks
        elif sample.class_name is not None:
            entry["label"] = self.numbers.get(sample.class_name, sample.class_name)
        return entry


def _notes(card: Card, contents: Contents, divided: Partition, avoid_flaws: bool) -> list[str]:
    notes = []
    if card.split.flaws and not avoid_flaws:
        cure = "--avoid-flaws takes a sound split" if card.split.safe else "the card knows no sound split"
        notes += [f"flaw of this split: {flaw}; {cure}" for flaw in card.split.flaws]
    if divided.separated:
        notes.append(f"{len(divided.separated):,} patients or images are in several parts of this published split")
    if divided.unassigned:
        notes.append(f"{len(divided.unassigned):,} samples are in no part of the split and were left out")
    tables = [path for path in contents.of_role("table") if not path.lower().endswith((".txt", ".md"))]
    classified = ((card.raw.get("task") or {}).get("kind")) == "classification"
    if tables and card.layout.label_from is None and classified:
        notes.append(f"labels lie in {tables[0]}; the entries hold images only")
    if not card.split.parts:
        notes.append(f"the card has no split; all samples are in {SECTIONS[ALL]}")
    return notes
