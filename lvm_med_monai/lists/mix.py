"""The balanced list for pretraining: minority groups are repeated, each copy as another crop."""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lvm_med_monai.lists.hashing import hashes, mixed
from lvm_med_monai.lists.partition import largest_remainder
from lvm_med_monai.lists.shares import capped_shares, given_shares, tempered_shares
from lvm_med_monai.slices import read_manifest

GROUP_FIELDS = ("modality", "dataset", "plane", "split")
"""Fields of the manifest by which slices may be grouped."""
CROP_AREA = (0.85, 0.95)
"""Share of the image that the crop of a copy covers (LVM-Med, arXiv 2306.11925, section 4.1)."""
NO_CROP = -1
"""Crop seed of the first copy, which is the whole image."""


@dataclass(frozen=True)
class Mix:
    """A list of items, each a slice and how it is cropped.

    Attributes:
        slice_ids: (n,) of each item.
        groups: (n,) number of its group.
        copies: (n,) 0 for the slice itself, 1 and on for its copies.
        crop_seeds: (n,) start of the random numbers of the crop; `NO_CROP` for copy 0.
        names: of the groups.
        settings: how the list was made.
    """

    slice_ids: tuple[str, ...]
    groups: NDArray[np.int64]
    copies: NDArray[np.int64]
    crop_seeds: NDArray[np.int64]
    names: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.slice_ids)

    def table(self) -> list[dict[str, Any]]:
        """A row a group: its slices, items, share of the list, and how often a slice is repeated."""
        rows = []
        for number, name in enumerate(self.names):
            items = int((self.groups == number).sum())
            slices = int(((self.groups == number) & (self.copies == 0)).sum())
            rows.append(
                {
                    "group": name,
                    "slices": slices,
                    "items": items,
                    "share": items / len(self),
                    "repeats": items / max(1, slices),
                }
            )
        return rows


def make_mix(
    root: str | os.PathLike[str],
    by: Sequence[str] = ("modality",),
    power: float = 0.5,
    *,
    shares: Mapping[str, float] | None = None,
    split: Collection[str] | None = ("train",),
    items: int | None = None,
    batch_size: int = 200,
    seed: int = 0,
) -> Mix:
    """Make the list of a slice folder.

    It has as many items as it takes for every slice to be in it once while the groups have their shares; the copies
    beyond are crops of 85 to 95 % of the area. Which slices get one copy more than others is decided by a hash of
    their id and the seed, so the list does not depend on the order of the manifest.

    Args:
        root: slice folder.
        by: fields of the manifest that make the groups.
        power: of `tempered_shares`.
        shares: group -> share in place of the formula; they are scaled to sum to 1. Groups are named by their values,
            joined with ``/``.
        split: splits to take; None for all slices.
        items: length of the list; a list too short for every slice to be in it leaves some out.
        batch_size: of the training, on all processes; see `capped_shares`.
        seed: start of the hashes.

    Raises:
        FileNotFoundError: ``root`` holds no manifest.
        ValueError: no slices, an unknown group or field, or numbers out of range.
    """
    if unknown := set(by) - set(GROUP_FIELDS) or not by:
        raise ValueError(f"slices are grouped by {', '.join(GROUP_FIELDS)}, not by {unknown}")
    members = _members(root, by, split)
    sizes = {name: len(ids) for name, ids in members.items()}
    wanted = tempered_shares(sizes, power) if shares is None else given_shares(shares, sizes)
    targets, capped = capped_shares(wanted, sizes, batch_size)
    length = items or math.ceil(max(sizes[name] / share for name, share in targets.items() if share > 0))
    counts = largest_remainder(targets, length)
    settings = {
        "by": list(by),
        "power": power if shares is None else None,
        "shares": targets,
        "capped": list(capped),
        "split": None if split is None else sorted(split),
        "batch_size": batch_size,
        "seed": seed,
        "crop_area": list(CROP_AREA),
    }
    return listed(members, counts, seed, settings)


def _members(root: Any, by: Sequence[str], split: Collection[str] | None) -> dict[str, list[str]]:
    """Group -> ids of its slices, both sorted."""
    table = read_manifest(root, ["slice_id", "split", *by])
    columns = [table[name].to_pylist() for name in by]
    members: dict[str, list[str]] = defaultdict(list)
    for slice_id, has, *values in zip(table["slice_id"].to_pylist(), table["split"].to_pylist(), *columns, strict=True):
        if split is None or has in split:
            members["/".join(str(value) for value in values)].append(slice_id)
    if not members:
        raise ValueError(f"no slice of {root} is in the split {', '.join(split or ())}: choose another with --split")
    return {name: sorted(members[name]) for name in sorted(members)}


def listed(members: Mapping[str, list[str]], counts: Mapping[str, int], seed: int, settings: Mapping[str, Any]) -> Mix:
    """The list of some slices, of which each group has so many items.

    Args:
        members: group -> ids of its slices.
        counts: group -> items.
        seed: decides which slices have one copy more, and the crops.
        settings: what to keep with the list.
    """
    ids: list[str] = []
    groups, copies, seeds = [], [], []
    for number, (name, slice_ids) in enumerate(members.items()):
        keys = hashes(slice_ids, seed)
        order = np.argsort(keys, kind="stable")
        copy, place = np.divmod(np.arange(counts[name]), len(slice_ids))
        chosen = order[place]
        ids += [slice_ids[i] for i in chosen.tolist()]
        groups.append(np.full(counts[name], number))
        copies.append(copy)
        crops = (mixed(keys[chosen], copy) >> np.uint64(1)).astype(np.int64)
        seeds.append(np.where(copy == 0, NO_CROP, crops))
    return Mix(
        tuple(ids), np.concatenate(groups), np.concatenate(copies), np.concatenate(seeds), tuple(members), settings
    )
