"""The samples that the LVM-Med repository publishes by name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from lvm_med_monai.lists.cards import Card, SplitRule
from lvm_med_monai.lists.globs import files_below, matching
from lvm_med_monai.lists.official import index_names
from lvm_med_monai.lists.overlap import find_overlap
from lvm_med_monai.lists.samples import Sample

EXACT = ("path", "name", "case", "class_prefix", "class_suffix")
"""Kinds of matches that are the sample itself, not a version of it."""


def published_parts(card: Card, rule: SplitRule, samples: Sequence[Sample], clone: Path) -> dict[str, list[Sample]]:
    """Samples by part, as a file in a clone of the LVM-Med repository names them.

    Args:
        card: the card.
        rule: with ``published_list``.
        samples: what is divided.
        clone: of the repository.

    Raises:
        FileNotFoundError: the clone has no such file.
        ValueError: the card names no such file, or its keys are not in it.
    """
    parts = {}
    for part, names in published_names(card, rule, clone).items():
        official, related = index_names({part: names}), frozenset({part})
        chosen = []
        for sample in samples:
            matches = find_overlap(sample.images, official, related).seen
            if any(match.kind in EXACT for match in matches):
                chosen.append(sample)
        parts[part] = chosen
    return parts


def published_names(card: Card, rule: SplitRule, clone: Path) -> dict[str, list[str]]:
    """Part -> the names of its samples; see `published_parts`."""
    if rule.published_list is None:
        raise ValueError(f"card {card.id} knows no published names; leave out --lists")
    glob, keys = rule.published_list["file"], rule.published_list.get("keys")
    found = matching(files_below(clone), glob)
    if not found:
        raise FileNotFoundError(f"{clone} holds no {glob}; give a clone of https://github.com/duyhominhnguyen/LVM-Med")
    text = (clone / found[0]).read_text(encoding="utf-8", errors="surrogateescape")
    if keys is None:
        return {"train": [line.strip() for line in text.splitlines() if line.strip()]}
    content = json.loads(text)
    if lacking := [key for key in keys.values() if key not in content]:
        raise ValueError(f"{found[0]} has no list {lacking[0]}; it has {', '.join(content)}")
    return {part: [str(name) for name in content[key]] for part, key in keys.items()}
