"""From the files of a download to samples: an image or case with its label and its patient."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from lvm_med_monai.lists.cards import Card
from lvm_med_monai.lists.globs import glob_pattern

COMPANIONS = {".raw": (".mhd",), ".zraw": (".mhd",), ".img": (".hdr",)}
"""Suffixes of pixel files, and those of the headers that name them."""
SPLIT_PIXELS = ("metaimage", "analyze")
"""Families whose pixels may lie beside the header; elsewhere, such suffixes mean something else."""
PACKED = (".gz", ".bz2", ".xz")
DEEP_SUFFIXES = (".nii", ".tar", ".img", ".hdr", ".ome", ".mgh")
"""Suffixes that belong to the name's end together with a further one."""


@dataclass(frozen=True)
class Sample:
    """What is learned from at a time.

    Attributes:
        images: paths below the root: one, or the images of a case in the order of the card.
        labels: paths of its masks; empty if there are none.
        key: what pairs images and masks: the text of the card's ``pair``, or the path.
        patient: name of the patient, or the path if the card cannot tell.
        class_name: from the path; None if it does not say.
    """

    images: tuple[str, ...]
    labels: tuple[str, ...]
    key: str
    patient: str
    class_name: str | None = None

    @property
    def name(self) -> str:
        """Path of its first image, which names it."""
        return self.images[0]


@dataclass(frozen=True)
class Contents:
    """The files of a download, sorted by what the card says of them.

    Attributes:
        matched: paths for each entry of the card's ``layout.files``, sorted.
        roles: path -> role; the first entry that matches decides.
        companions: pixel files beside their headers.
        orphans: headers without their pixel file, or pixel files without a header.
        leftover: files that nothing speaks for.
    """

    matched: tuple[tuple[str, ...], ...]
    roles: Mapping[str, str]
    companions: frozenset[str]
    orphans: tuple[str, ...]
    leftover: tuple[str, ...]
    order: Mapping[str, int] = field(default_factory=dict, repr=False)

    def is_required(self, card: Card, sample: Sample) -> bool:
        """Whether the card requires the sample's images; of others, such as unlabelled ones, masks may be missing."""
        number = self.order.get(sample.name)
        return number is None or card.layout.files[number].required

    def of_role(self, role: str) -> list[str]:
        """Paths of one role, by entry of the card and then by name."""
        chosen = [path for path, has in self.roles.items() if has == role]
        return sorted(chosen, key=lambda path: (self.order[path], path))


def stem_of(path: str) -> str:
    """Name of a file without its suffixes; dots inside of the name stay, so that UIDs do.

    Example:
        >>> stem_of("a/case_1.nii.gz"), stem_of("1.2.840.mhd"), stem_of("x_MPP-0.2500.png")
        ('case_1', '1.2.840', 'x_MPP-0.2500')
    """
    name = path.rpartition("/")[2]
    root, suffix = _split_suffix(name)
    if suffix.lower() in PACKED:
        inner, deep = _split_suffix(root)
        return inner if deep.lower() in DEEP_SUFFIXES else root
    return root


def _split_suffix(name: str) -> tuple[str, str]:
    root, dot, suffix = name.rpartition(".")
    is_suffix = dot and root and 1 <= len(suffix) <= 5 and suffix.isalnum() and not suffix.isdigit()
    return (root, dot + suffix) if is_suffix else (name, "")


def sort_files(card: Card, files: Sequence[str]) -> Contents:
    """Sort the files of a download by the globs of its card.

    Args:
        card: the card.
        files: paths below the root, sorted.
    """
    patterns = [(entry.role, glob_pattern(entry.glob).fullmatch) for entry in card.layout.files]
    matched: list[list[str]] = [[] for _ in patterns]
    roles: dict[str, str] = {}
    order: dict[str, int] = {}
    for path in files:
        for number, (role, match) in enumerate(patterns):
            if match(path):
                matched[number].append(path)
                roles.setdefault(path, role)
                order.setdefault(path, number)
    split_pixels = card.layout.family in SPLIT_PIXELS
    companions, orphans = _companions(files, roles) if split_pixels else (frozenset[str](), ())
    for path in companions:
        roles.pop(path, None)
    leftover = tuple(path for path in files if path not in roles and path not in companions)
    return Contents(tuple(map(tuple, matched)), roles, companions, orphans, leftover, order)


def _companions(files: Sequence[str], roles: Mapping[str, str]) -> tuple[frozenset[str], tuple[str, ...]]:
    """Pixel files whose headers are there, and headers or pixel files that stand alone."""
    present = set(files)
    bases = {path: _split_suffix(path) for path in files}
    companions: set[str] = set()
    orphans: list[str] = []
    for path, (base, suffix) in bases.items():
        headers = [base + header for header in COMPANIONS.get(suffix.lower(), ())]
        if any(header in present for header in headers):
            companions.add(path)
        elif headers and path in roles:
            orphans.append(path)
        elif suffix.lower() in (".mhd", ".hdr") and path in roles:
            pixels = [base + s for s, owners in COMPANIONS.items() if suffix.lower() in owners]
            if not any(candidate in present for candidate in (*pixels, *(p + ".gz" for p in pixels))):
                orphans.append(path)
    return frozenset(companions), tuple(orphans)


def samples_of(card: Card, contents: Contents) -> list[Sample]:
    """Samples, sorted by the path of their first image.

    Images with the same ``pair`` text are one sample in case folders, and a sample each in other layouts. A DICOM
    image of three dimensions is the folder of its series; the card's expressions see the first file of it. Masks with
    the same text belong to all images that have it.
    """
    masks: dict[str, list[str]] = defaultdict(list)
    for path in contents.of_role("label"):
        masks[_key(card, path)].append(path)
    together = card.layout.family == "case_folders"
    as_folders = card.layout.family == "dicom" and card.dimensions == 3
    images: dict[str, str] = {}
    for path in contents.of_role("image"):
        images.setdefault(PurePosixPath(path).parent.as_posix() if as_folders else path, path)
    groups: dict[str, list[str]] = defaultdict(list)
    for image, file in images.items():
        groups[_key(card, file) if together else image].append(image)
    samples = []
    for members in groups.values():
        file = images[members[0]]
        key = _key(card, file)
        patient = group_text(card.patient, file) or members[0]
        class_name = group_text(card.layout.label_from, file)
        samples.append(Sample(tuple(members), tuple(masks.get(key, ())), key, patient, class_name))
    return sorted(samples, key=lambda sample: sample.name)


def _key(card: Card, path: str) -> str:
    return group_text(card.layout.pair, path) or path


def group_text(pattern: re.Pattern[str] | None, path: str) -> str | None:
    """Text of the group of an expression that is searched in a path; None if it is not found."""
    found = pattern.search(path) if pattern else None
    return found.group(1) if found else None
