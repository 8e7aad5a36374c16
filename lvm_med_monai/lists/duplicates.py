"""Equal and nearly equal slices across extracted data sets."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lvm_med_monai.slices import read_manifest

BITS = 64
"""Of a difference hash."""
DISTANCE = 4
"""Bits in which near duplicates differ at most."""
PLAIN_BITS = 6
"""A hash with fewer bits set, or fewer not set, is of a picture without structure, which equals many others."""
BLOCK = 1 << 22
"""Pairs that are compared at a time."""
COLUMNS = ("slice_id", "dataset", "sha256_pixels", "dhash", "patient_h", "split")
_POPCOUNT = np.array([bin(value).count("1") for value in range(1 << 16)], dtype=np.uint8)


@dataclass(frozen=True)
class Pair:
    """Two slices that are equal or nearly so.

    Attributes:
        first: data set and slice id.
        second: data set and slice id, after ``first`` in the order of the manifests.
        distance: bits in which their difference hashes differ; 0 for equal pixels.
        equal: the stored pixels are equal.
        splits: of the two slices.
    """

    first: tuple[str, str]
    second: tuple[str, str]
    distance: int
    equal: bool
    splits: tuple[str, str]


@dataclass(frozen=True)
class Duplicates:
    """What was found.

    Attributes:
        slices: number of slices compared.
        plain: of them, those without structure, which only count as equal, never as near.
        pairs: equal pixels first, then by distance and place. Of slices with equal pixels, the first is paired with
            each other one.
    """

    slices: int
    plain: int
    pairs: tuple[Pair, ...]


def find_duplicates(
    roots: Sequence[str | os.PathLike[str]], distance: int = DISTANCE, within: bool = False
) -> Duplicates:
    """Search slice folders for duplicates, by their manifests alone.

    Args:
        roots: slice folders, which may hold several data sets.
        distance: bits in which near duplicates differ at most; 0 for equal hashes.
        within: pair slices of one data set too. Neighbours in a volume are near duplicates by nature, and slices of one
            patient are then left out.

    Raises:
        FileNotFoundError: a folder holds no manifest.
        ValueError: a distance out of range.
    """
    if not 0 <= distance < BITS // 2:
        raise ValueError(f"the distance is a number of bits from 0 to {BITS // 2 - 1}, got {distance}")
    rows = _Rows(roots)
    equal = dict.fromkeys(rows.equal(within), True)
    plain = rows.plain()
    places = np.flatnonzero(~plain)
    near: dict[tuple[int, int], bool] = {}
    for i, j in near_pairs(rows.hashes[places], distance):
        i, j = places[i], places[j]
        kept = rows.allowed(i, j, within)
        pairs_here = zip(i[kept].tolist(), j[kept].tolist(), strict=True)
        near.update((pair, False) for pair in pairs_here if rows.pixels[pair[0]] != rows.pixels[pair[1]])
    pairs = [rows.pair(i, j, same) for (i, j), same in [*sorted(equal.items()), *sorted(near.items())]]
    pairs.sort(key=lambda pair: (not pair.equal, pair.distance))
    return Duplicates(len(rows.hashes), int(plain.sum()), tuple(pairs))


class _Rows:
    """The columns of all manifests, one after the other."""

    def __init__(self, roots: Sequence[str | os.PathLike[str]]) -> None:
        tables = [read_manifest(root, list(COLUMNS)) for root in roots]
        self.ids, self.datasets, self.pixels, hashes, self.patients, self.splits = (
            [value for table in tables for value in table[name].to_pylist()] for name in COLUMNS
        )
        self.hashes = np.array([int(text or "0", 16) for text in hashes], dtype=np.uint64)
        self._sets = np.unique(self.datasets, return_inverse=True)[1]
        self._persons = np.unique(self.patients, return_inverse=True)[1]

    def allowed(self, i: Any, j: Any, within: bool) -> NDArray[np.bool_]:
        """Whether slices may be pairs, for rows or arrays of rows."""
        other_set = self._sets[i] != self._sets[j]
        return other_set | (self._persons[i] != self._persons[j]) if within else other_set

    def equal(self, within: bool) -> Iterator[tuple[int, int]]:
        """Pairs of equal pixels: the first of a group with each other one that may be its pair."""
        first: dict[str, list[int]] = {}
        for row, digest in enumerate(self.pixels):
            group = first.setdefault(digest, [])
            other = next((i for i in group if self.allowed(i, row, within)), None)
            if other is not None:
                yield other, row
            if not any(
                self.datasets[i] == self.datasets[row] and self.patients[i] == self.patients[row] for i in group
            ):
                group.append(row)

    def plain(self) -> NDArray[np.bool_]:
        """(n,) whether a slice has no structure, or no hash."""
        ones = popcount(self.hashes)
        return (ones < PLAIN_BITS) | (ones > BITS - PLAIN_BITS)

    def pair(self, i: int, j: int, equal: bool) -> Pair:
        """Two rows as a pair."""
        bits = int(popcount(self.hashes[[i]] ^ self.hashes[[j]])[0])
        first, second = ((self.datasets[k], self.ids[k]) for k in (i, j))
        return Pair(first, second, 0 if equal else bits, equal, (self.splits[i], self.splits[j]))


def popcount(values: NDArray[np.uint64]) -> NDArray[np.int64]:
    """(n,) number of bits that are set."""
    parts = [_POPCOUNT[(values >> np.uint64(shift)) & np.uint64(0xFFFF)] for shift in range(0, BITS, 16)]
    return np.sum(parts, axis=0, dtype=np.int64)


def near_pairs(hashes: NDArray[np.uint64], distance: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Pairs i < j whose hashes differ in at most ``distance`` bits, each once, in blocks.

    The bits are cut into ``distance + 1`` bands. Two hashes that differ in at most ``distance`` bits are equal in at
    least one band, so only hashes that share a band are compared (M. Norouzi et al., "Fast search in Hamming space with
    multi-index hashing", CVPR 2012). A pair counts for the first band that it shares.
    """
    edges = [BITS * band // (distance + 1) for band in range(distance + 2)]
    masks = [np.uint64((1 << end) - (1 << start)) for start, end in pairwise(edges)]
    for band, mask in enumerate(masks):
        for i, j in _sharing(hashes & mask):
            difference = hashes[i] ^ hashes[j]
            kept = popcount(difference) <= distance
            for earlier in masks[:band]:
                kept &= (difference & earlier) != 0
            yield np.minimum(i[kept], j[kept]), np.maximum(i[kept], j[kept])


def _sharing(keys: NDArray[np.uint64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """All pairs with equal keys, in blocks of about `BLOCK`."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    # how many of the same key come after each place
    ends = np.searchsorted(ordered, ordered, side="right")
    after = ends - np.arange(len(ordered)) - 1
    total = np.concatenate([[0], np.cumsum(after)])
    start = 0
    while start < len(ordered):
        stop = max(start + 1, int(np.searchsorted(total, total[start] + BLOCK, side="right")) - 1)
        counts = after[start:stop]
        first = np.repeat(np.arange(start, stop), counts)
        offset = np.arange(len(first)) - np.repeat(np.cumsum(counts) - counts, counts)
        yield order[first], order[first + 1 + offset]
        start = stop
