"""Which samples of a set were seen when LVM-Med was pretrained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from lvm_med_monai.lists.cards import Card
from lvm_med_monai.lists.names import STRONG, parts_of, patient_in, strength, variants
from lvm_med_monai.lists.official import Official, Seen

SURE = ("path", "name", "case", "class_prefix", "class_suffix", "augmented", "renamed")
"""Kinds of matches of the sample itself; ``patient`` is another image of its patient."""


@dataclass(frozen=True)
class Match:
    """A sample that was seen.

    Attributes:
        name: as it was given.
        kind: path, name, case, class_prefix, class_suffix, augmented, renamed: the sample itself; patient: another
            image of its patient.
        folder: of the official list.
        entry: line of the list.
        sure: False if the name is one that unrelated sets may share, and nothing says that this is the same set.
    """

    name: str
    kind: str
    folder: str
    entry: str
    sure: bool


@dataclass(frozen=True)
class Overlap:
    """What was seen.

    Attributes:
        total: number of names.
        matches: one a name at most, the strongest.
        nameless: official lists that name no samples, so that they could not be compared.
    """

    total: int
    matches: tuple[Match, ...]
    nameless: tuple[str, ...]

    @property
    def seen(self) -> tuple[Match, ...]:
        """Samples and patients that were surely seen."""
        return tuple(match for match in self.matches if match.sure)

    def by_kind(self) -> dict[str, int]:
        """Kind -> number of sure matches."""
        return dict(sorted(Counter(match.kind for match in self.seen).items()))

    def by_list(self, sure: bool = True) -> dict[str, int]:
        """Folder of the official list -> number of sure, or of unsure, matches."""
        return dict(sorted(Counter(match.folder for match in self.matches if match.sure == sure).items()))


def related_folders(card: Card, cards: Mapping[str, Card]) -> frozenset[str]:
    """Official lists that hold samples or patients of a card: its own, and those of cards that share patients."""
    ids = (card.id, *card.raw.get("shares_patients_with", ()))
    folders = (cards[name].paper_folder for name in ids if name in cards)
    return frozenset(folder for folder in folders if folder)


def find_overlap(names: Iterable[str], official: Official, related: frozenset[str] = frozenset()) -> Overlap:
    """Compare names with the official lists, by look-ups alone.

    A name matches by the tail of its path, by its last part without suffixes, by a folder in it (cases and patients),
    or by a form without class, grade, diagnosis or marks of augmentation. Names such as ``100.png``, which unrelated
    sets share by chance, are sure matches only for lists in ``related``.

    Args:
        names: paths or names of samples.
        official: the lists.
        related: folders of lists that are known to be of the same set.
    """
    matches = []
    total = 0
    for name in names:
        total += 1
        if found := _best(name, official, related):
            matches.append(found)
    return Overlap(total, tuple(matches), official.nameless)


def _best(name: str, official: Official, related: frozenset[str]) -> Match | None:
    """The surest match of a name, of equal ones the first kind that `_keys` yields."""
    unsure: Match | None = None
    for key, kind in _keys(parts_of(name), official.depths):
        for seen in official.entries.get(key, ()):
            named = _kind(kind, seen)
            if named is None:
                continue
            sure = seen.folder in related or strength(key) >= STRONG
            match = Match(name, named, seen.folder, seen.entry, sure)
            if sure:
                return match
            unsure = unsure or match
    return unsure


def _keys(parts: Sequence[str], depths: Iterable[int]) -> Iterator[tuple[str, str]]:
    """Keys of a name with their kinds: tails from the longest on, the name, its other forms, its folders."""
    if not parts:
        return
    for depth in sorted(depths, reverse=True):
        if 1 < depth <= len(parts):
            yield "/".join(parts[-depth:]), "path"
    yield parts[-1], "name"
    yield from variants(parts[-1])
    for folder in reversed(parts[:-1]):
        yield folder, "case"
        yield from ((other, kind) for other, kind in variants(folder) if kind == "renamed")
    for part in parts:
        if patient := patient_in(part):
            yield patient, "case"


def _kind(kind: str, seen: Seen) -> str | None:
    """What a match of a key is called; None if such keys do not belong together."""
    if kind == "path" or seen.kind == "path":
        return "path" if kind == seen.kind else None
    if seen.kind == "patient":
        return "patient" if kind in ("case", "name") else None
    if seen.kind == "case":
        return "case" if kind in ("case", "name") else None
    if kind in ("name", "case"):
        return seen.kind if seen.kind != "name" else kind
    return kind
