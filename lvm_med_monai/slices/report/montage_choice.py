"""Which slices stand for a data set: the same ones every time, spread over patients, stacks and flags."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pyarrow

KEYS = ("patient_h", "series_h", "stack_index", "plane", "modality")
"""Rows that agree in these are slices of one stack."""


class StackRows(NamedTuple):
    """Rows of one stack.

    Attributes:
        patient: keyed hash of the patient.
        name: of the stack; unique.
        rows: row numbers, ascending by slice index.
    """

    patient: str
    name: str
    rows: list[int]


def choose(table: pyarrow.Table, count: int) -> list[int]:
    """Choose rows of a manifest.

    First comes a slice of every combination of modality and flags, as long as they take up no more than half of the
    places; then stacks in turn, one of each patient before a second of any, each from its middle outwards.

    Args:
        table: rows of one data set, with `KEYS`, ``slice_index`` and ``flags``.
        count: how many rows; fewer if there are fewer.

    Returns:
        Row numbers, ordered by modality, plane, patient, stack and slice index.
    """
    stacks = _stacks(table)
    flags = table["flags"].to_pylist()
    modality = table["modality"].to_pylist()
    kinds: dict[tuple[str, ...], int] = {}
    for stack in stacks:
        for row in (stack.rows[len(stack.rows) // 2], *stack.rows):
            kinds.setdefault((modality[row], *flags[row]), row)
    chosen = dict.fromkeys(list(kinds.values())[: count // 2])
    for row in _in_turn(stacks):
        if len(chosen) >= count:
            break
        chosen[row] = None
    plane = table["plane"].to_pylist()
    place = {row: (stack.patient, stack.name, index) for stack in stacks for index, row in enumerate(stack.rows)}
    return sorted(chosen, key=lambda row: (modality[row], plane[row], place[row]))


def middle_first(rows: list[int]) -> list[int]:
    """The same rows, each next one in the middle of the largest piece that is left: 3, 1, 5, 0, 2, 4, 6 of seven."""
    order, pieces = [], [(0, len(rows))]
    for begin, end in pieces:
        if begin < end:
            middle = (begin + end) // 2
            order.append(rows[middle])
            pieces += [(begin, middle), (middle + 1, end)]
    return order


def _stacks(table: pyarrow.Table) -> list[StackRows]:
    """Stacks in an order that depends on hashes alone, so neighbours in the manifest are no neighbours here."""
    groups: dict[tuple[str, ...], list[tuple[int, int]]] = defaultdict(list)
    columns = [table[name].to_pylist() for name in (*KEYS, "slice_index")]
    for row, (*key, index) in enumerate(zip(*columns, strict=True)):
        groups[tuple(map(str, key))].append((index, row))
    stacks = [StackRows(key[0], "/".join(key), [row for _, row in sorted(rows)]) for key, rows in groups.items()]
    return sorted(stacks, key=lambda stack: hashlib.sha256(stack.name.encode()).digest())


def _in_turn(stacks: list[StackRows]) -> Iterator[int]:
    patients: dict[str, list[list[int]]] = defaultdict(list)
    for stack in stacks:
        patients[stack.patient].append(middle_first(stack.rows))
    # a patient's rows: the first of every stack, then the second of every stack, and so on
    own = [_interleave(rows) for rows in patients.values()]
    yield from _interleave(own)


def _interleave(lists: list[list[int]]) -> list[int]:
    return [row for turn in zip_longest(*lists) for row in turn if row is not None]
