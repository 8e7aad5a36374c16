"""Training, validation and test by a card's rule."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lvm_med_monai.lists.cards import Card, SplitRule
from lvm_med_monai.lists.globs import glob_pattern
from lvm_med_monai.lists.published import published_parts
from lvm_med_monai.lists.samples import Sample, stem_of

ALL = "train"
"""Part of all samples where a card has no rule."""
GLOB_SIGNS = ("*", "?", "[", "{", "/")


@dataclass(frozen=True)
class Partition:
    """Samples by part.

    Attributes:
        parts: name -> samples, in the order of the card; a sample is in two parts only if the rule says so.
        unassigned: samples that the rule does not name.
        separated: patients that the rule puts into several parts.
    """

    parts: Mapping[str, tuple[Sample, ...]]
    unassigned: tuple[Sample, ...] = ()
    separated: tuple[str, ...] = ()

    @property
    def sizes(self) -> dict[str, int]:
        """Name -> number of samples."""
        return {name: len(samples) for name, samples in self.parts.items()}


def divide(card: Card, samples: Sequence[Sample], avoid_flaws: bool = False, clone: Path | None = None) -> Partition:
    """Divide samples by the rule of a card.

    Numbers give the same parts for any order of the files, on any machine: patients are sorted by a hash of their name
    that is keyed by the seed, and cut by the sizes of the parts. They never separate a patient.

    Args:
        card: with the rule.
        samples: what is divided; see `dicom_patients.with_patients`.
        avoid_flaws: take the safe rule in place of one with flaws.
        clone: of the LVM-Med repository, whose published names are taken in place of the rule.

    Raises:
        FileNotFoundError: the clone lacks the published names.
        ValueError: the rule cannot be followed, because the card does not say enough.
    """
    rule = card.split
    if avoid_flaws and rule.flaws:
        if rule.safe is None:
            raise ValueError(f"card {card.id} names flaws of its split, but no safe one: {'; '.join(rule.flaws)}")
        rule = rule.safe
    pool = [s for s in samples if rule.pool is None or any(glob_pattern(rule.pool).fullmatch(i) for i in s.images)]
    found = _followed(card, rule, pool) if clone is None else published_parts(card, rule, pool, clone)
    ordered = {name: tuple(sorted(part, key=lambda s: s.name)) for name, part in found.items()} or {ALL: tuple(pool)}
    assigned = {sample.name for part in ordered.values() for sample in part}
    return Partition(ordered, tuple(s for s in pool if s.name not in assigned), _separated(ordered))


def _followed(card: Card, rule: SplitRule, samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    """The parts of a rule, in its order."""
    if rule.rule != "none" and not rule.parts:
        cure = "; --lists CLONE takes the names that LVM-Med publishes" if rule.published_list else ""
        raise ValueError(f"card {card.id} says that its split is {rule.rule}, but not what is in it{cure}")
    found = _named(card, rule, samples)
    shares = {name: float(part) for name, part in rule.parts.items() if isinstance(part, (int, float))}
    if shares and not found:
        found = _seeded(card, rule, samples, shares)
    elif shares:
        _cut_off(card, rule, shares, found)
    for name, part in rule.parts.items():
        if isinstance(part, Mapping) and "of" in part:
            _cut_off(card, rule, {name: float(part["share"])}, found, part["of"])
    for name, part in rule.parts.items():
        if isinstance(part, Mapping) and "of" not in part:
            found[name] = list(_other(card, name, part, found))
    return {name: found[name] for name in rule.parts}


def _named(card: Card, rule: SplitRule, samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    """Parts that the card gives by glob or by ids."""
    found: dict[str, list[Sample]] = {}
    for name, part in rule.parts.items():
        if part is None:
            raise ValueError(f"card {card.id} does not know the part {name} of its {rule.rule} split")
        if isinstance(part, (str, list)):
            chosen = _Chosen([part] if isinstance(part, str) else part, is_glob=isinstance(part, str))
            found[name] = [sample for sample in samples if chosen.has(sample)]
    return found


class _Chosen:
    """Ids and globs of a part."""

    def __init__(self, entries: Sequence[Any], is_glob: bool) -> None:
        texts = [str(entry) for entry in entries]
        self.globs = [glob_pattern(text) for text in texts if is_glob or any(sign in text for sign in GLOB_SIGNS)]
        self.ids = {text for text in texts if not is_glob}

    def has(self, sample: Sample) -> bool:
        """Whether a sample belongs to the part, by its path, its key, its patient or its name."""
        if any(glob.fullmatch(sample.name) for glob in self.globs):
            return True
        return not self.ids.isdisjoint((sample.key, sample.patient, sample.name, stem_of(sample.name)))


def _seeded(
    card: Card, rule: SplitRule, samples: Sequence[Sample], shares: Mapping[str, float]
) -> dict[str, list[Sample]]:
    """Parts by share, or by the published sizes where these are known for each."""
    sizes = rule.published_sizes
    if all(sizes.get(name) for name in shares):
        shares = {name: float(sizes[name] or 0) for name in shares}
    groups = _patients(card, rule, samples)
    ranked = sorted(groups, key=lambda patient: _rank(card, rule, patient))
    found, start = {}, 0
    for name, count in largest_remainder(shares, len(groups)).items():
        found[name] = [sample for patient in ranked[start : start + count] for sample in groups[patient]]
        start += count
    return found


def _cut_off(
    card: Card, rule: SplitRule, shares: Mapping[str, float], found: dict[str, list[Sample]], of: str = ALL
) -> None:
    """Take shares of the patients out of a part that has its samples already."""
    if of not in found or sum(shares.values()) >= 1:
        raise ValueError(f"card {card.id}: shares are cut off {of}, which must be named and may not be cut off whole")
    rest = {of: 1 - math.fsum(shares.values()), **shares}
    found.update(_seeded(card, replace(rule, published_sizes={}), found[of], rest))


def _other(card: Card, name: str, part: Mapping[str, Any], found: Mapping[str, list[Sample]]) -> list[Sample]:
    """The samples of the part that a part repeats."""
    if part.get("same_as") not in found:
        raise ValueError(f"card {card.id}: the part {name} refers to {part.get('same_as')}, which has no samples")
    return found[part["same_as"]]


def _patients(card: Card, rule: SplitRule, samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    """Samples by patient; by the text that pairs them, or each its own, where the card cannot tell patients apart."""
    known = card.patient is not None or card.layout.family == "dicom"
    if rule.unit == "patient" and not known:
        raise ValueError(f"card {card.id} splits by patient, but has no patient.pattern that names them")
    groups: dict[str, list[Sample]] = defaultdict(list)
    for sample in sorted(samples, key=lambda sample: sample.name):
        groups[sample.patient if card.patient is not None or rule.unit == "patient" else sample.key].append(sample)
    return groups


def _rank(card: Card, rule: SplitRule, patient: str) -> tuple[bytes, str]:
    text = f"{card.patient_space or card.id}\0{patient}".encode("utf-8", "surrogateescape")
    return hashlib.blake2b(text, digest_size=16, key=str(rule.seed or 0).encode()).digest(), patient


def _separated(parts: Mapping[str, Sequence[Sample]]) -> tuple[str, ...]:
    where: dict[str, set[str]] = defaultdict(set)
    for name, samples in parts.items():
        for sample in samples:
            where[sample.patient].add(name)
    return tuple(sorted(patient for patient, names in where.items() if len(names) > 1))


def largest_remainder(weights: Mapping[str, float], total: int) -> dict[str, int]:
    """Whole numbers in proportion to weights that sum to ``total``; of equal remainders the first name gets more.

    Example:
        >>> largest_remainder({"train": 413, "validation": 104, "test": 130}, 647)
        {'train': 413, 'validation': 104, 'test': 130}
        >>> largest_remainder({"train": 0.8, "test": 0.2}, 6)
        {'train': 5, 'test': 1}
    """
    whole = math.fsum(weights.values())
    exact = {name: weight / whole * total for name, weight in weights.items()}
    # the rounding guards against 412.99999999999994 for 413
    counts = {name: math.floor(round(value, 9)) for name, value in exact.items()}
    order = sorted(weights, key=lambda name: -round(exact[name] - counts[name], 9))
    for name in order[: total - sum(counts.values())]:
        counts[name] += 1
    return counts
