"""Is a download complete, and laid out as its card says?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from lvm_med_monai.lists.cards import Card
from lvm_med_monai.lists.globs import alternatives, files_below, matching
from lvm_med_monai.lists.samples import Contents, Sample, samples_of, sort_files

SHOWN = 10
"""Names of a kind that a report holds."""
ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".7z", ".rar", ".tcia")
COUNTED = {
    "patient": "patients",
    "subject": "patients",
    "image": "images",
    "picture": "images",
    "photograph": "images",
    "radiograph": "images",
    "volume": "images",
    "scan": "images",
    "frame": "images",
    "case": "samples",
    "series": "samples",
}
"""First word of the unit of a published size, without a plural s -> what is counted."""


@dataclass(frozen=True)
class Check:
    """What `check` finds.

    Attributes:
        card: id.
        files: for each entry of the card: role, glob, required, found.
        counts: patients, samples, images, files.
        expected: number that the card publishes; None if it is unknown or counts something else.
        found: what of ``counts`` compares with it.
        missing: what is not there, a sentence each.
        leftover: number of files that the card does not speak of.
        leftover_names: the first of them.
        classes: class -> images, where paths say it.
        hints: what may help.
    """

    card: str
    files: tuple[Mapping[str, Any], ...]
    counts: Mapping[str, int]
    expected: int | None
    found: int | None
    missing: tuple[str, ...]
    leftover: int
    leftover_names: tuple[str, ...]
    classes: Mapping[str, int]
    hints: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Nothing is missing."""
        return not self.missing


def check(card: Card, root: Path) -> Check:
    """Compare a download with its card, by names alone.

    Args:
        card: the card.
        root: folder that the download was unpacked into.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    files = files_below(root)
    contents = sort_files(card, files)
    samples = samples_of(card, contents)
    counts = _counts(card, contents, samples)
    size = card.raw.get("size") or {}
    # a file of HDF5 holds many images
    kind = None if card.layout.family == "hdf5" else _kind_of(size.get("unit"))
    found = None if kind is None else counts[kind]
    expected = size.get("published") if kind is not None else None
    missing = _missing_files(card, contents) + _missing_pairs(card, contents, samples)
    if expected is not None and found is not None and 0 < found < expected:
        missing.append(f"{expected - found:,} of {expected:,} {size['unit']}")
    classes = Counter(sample.class_name for sample in samples if sample.class_name is not None)
    return Check(
        card=card.id,
        files=tuple(
            {"role": p.role, "glob": p.glob, "required": p.required, "found": len(paths)}
            for p, paths in zip(card.layout.files, contents.matched, strict=True)
        ),
        counts=counts,
        expected=expected,
        found=found,
        missing=tuple(missing),
        leftover=len(contents.leftover),
        leftover_names=contents.leftover[:SHOWN],
        classes=dict(sorted(classes.items())),
        hints=tuple(_hints(card, files, contents)),
    )


def _counts(card: Card, contents: Contents, samples: list[Sample]) -> dict[str, int]:
    counts = {"samples": len(samples), "images": sum(len(sample.images) for sample in samples)}
    if card.patient is not None:
        counts = {"patients": len({sample.patient for sample in samples}), **counts}
    return {**counts, "labels": len(contents.of_role("label")), "files": len(contents.roles) + len(contents.companions)}


def _kind_of(unit: str | None) -> str | None:
    word = (unit or "").split(" ")[0].lower().rstrip(",;")
    return COUNTED.get(word) or COUNTED.get(word.removesuffix("s"))


def _missing_files(card: Card, contents: Contents) -> list[str]:
    missing = [
        f"no file {glob} ({pattern.role})"
        for pattern, paths in zip(card.layout.files, contents.matched, strict=True)
        if pattern.required
        for glob in (alternatives(pattern.glob) if paths else [pattern.glob])
        if not matching(paths, glob)
    ]
    for path in contents.orphans[:SHOWN]:
        missing.append(f"the other half of {path}: header and pixel file belong together")
    if len(contents.orphans) > SHOWN:
        missing.append(f"the other halves of {len(contents.orphans) - SHOWN:,} more files")
    return missing


def _missing_pairs(card: Card, contents: Contents, samples: list[Sample]) -> list[str]:
    labels = card.layout.of_role("label")
    if card.layout.pair is None or not contents.of_role("label"):
        return []
    used = {label for sample in samples for label in sample.labels}
    alone = [path for path in contents.of_role("label") if path not in used]
    missing = _some("image", alone, "label")
    if all(label.required for label in labels):
        bare = [s.name for s in samples if not s.labels and contents.is_required(card, s)]
        missing += _some("label", bare, "image")
    return missing


def _some(what: str, paths: list[str], of: str) -> list[str]:
    named = [f"the {what} of the {of} {path}" for path in paths[:SHOWN]]
    return named + ([f"the {what}s of {len(paths) - SHOWN:,} more {of}s"] if len(paths) > SHOWN else [])


def _hints(card: Card, files: list[str], contents: Contents) -> list[str]:
    hints = []
    if packed := [path for path in contents.leftover if path.lower().endswith(ARCHIVES)]:
        hints.append(f"unpack {packed[0]}" + (f" and {len(packed) - 1} more archives" if len(packed) > 1 else ""))
    if not contents.of_role("image"):
        hints += _other_root(card, files)
    return hints


def _other_root(card: Card, files: list[str]) -> list[str]:
    """A folder below in which the images would be found."""
    tops = sorted({PurePosixPath(path).parts[0] for path in files if "/" in path})[:64]
    for top in tops:
        below = [path[len(top) + 1 :] for path in files if path.startswith(top + "/")]
        if any(matching(below, pattern.glob) for pattern in card.layout.of_role("image")):
            return [f"the card's layout is found in the folder {top}: give that one as ROOT"]
    return [f"the images should lie at {', '.join(p.glob for p in card.layout.of_role('image'))} below ROOT"]
