"""Which samples of a download were seen in the pretraining of LVM-Med."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lvm_med_monai.lists.cards import Card
from lvm_med_monai.lists.globs import files_below
from lvm_med_monai.lists.official import read_official
from lvm_med_monai.lists.overlap import find_overlap, related_folders
from lvm_med_monai.lists.published import published_parts
from lvm_med_monai.lists.samples import Sample, samples_of, sort_files


def seen_samples(card: Card, cards: Mapping[str, Card], root: Path, clone: Path) -> frozenset[str]:
    """Names of the samples of a download that surely were seen, or whose patients were.

    Args:
        card: the card.
        cards: all cards.
        root: the download.
        clone: of the LVM-Med repository.

    Raises:
        FileNotFoundError: no folder, or no lists in the clone.
    """
    samples = samples_of(card, sort_files(card, files_below(root)))
    owners = names_of(samples)
    found = find_overlap(owners, read_official(clone), related_folders(card, cards))
    return frozenset(owners[match.name].name for match in found.seen)


def unlisted_samples(card: Card, root: Path, clone: Path) -> frozenset[str]:
    """Names of the samples of a download that LVM-Med does not list for training.

    Raises:
        FileNotFoundError: no folder, or no published names in the clone.
        ValueError: the card knows no published names.
    """
    samples = samples_of(card, sort_files(card, files_below(root)))
    listed = published_parts(card, card.split, samples, clone).get("train", [])
    return frozenset(sample.name for sample in samples) - {sample.name for sample in listed}


def names_of(samples: list[Sample]) -> dict[str, Sample]:
    """Path of each image of each sample -> the sample."""
    return {image: sample for sample in samples for image in sample.images}
