"""Tricky series against their truth: exact values, exact order, physical places, flags and reasons."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lvm_med_monai.slices import SlicePolicy, Source, extract, read_manifest, read_rejects, read_slice
from lvm_med_monai.slices.inputs.walk import iter_stacks
from lvm_med_monai.slices.stack import Reject, Stack
from tests.slices.conformance_cases import CASES, Expected
from tests.slices.conformance_readers import ours
from tests.slices.conformance_table import own_column
from tests.slices.factories import REPOSITORY

PLACE_MM = 1e-6
EVERYTHING = SlicePolicy(every_mm=0, min_foreground=0, min_std=0, min_size=1)


def matches(stack: Stack, expected: Expected) -> bool:
    """Whether this is the stack: as many slices, equal values in the same order."""
    if stack.n_slices != len(expected.values):
        return False
    return all(
        stack.frame(i).shape == value.shape and np.array_equal(stack.frame(i), value.astype(stack.dtype))
        for i, value in enumerate(expected.values)
    )


@pytest.mark.parametrize("name", CASES)
def test_stacks(tmp_path: Path, name: str) -> None:
    truth = CASES[name](tmp_path)
    results = list(iter_stacks(tmp_path))
    stacks = [result for result in results if isinstance(result, Stack)]
    assert {r.path.name: r.reason for r in results if isinstance(r, Reject)} == truth.rejects
    assert len(stacks) == len(truth.stacks)
    for expected in truth.stacks:
        (stack,) = (candidate for candidate in stacks if matches(candidate, expected))
        assert stack.flags == expected.flags
        assert np.array_equal(stack.array(), np.stack(expected.values).astype(stack.dtype))
        if expected.origins is not None:
            assert np.abs(stack.geometry.origins - np.array(expected.origins)).max() <= PLACE_MM


@pytest.mark.parametrize("name", CASES)
def test_manifest(tmp_path: Path, name: str) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    truth = CASES[name](folder)
    summary = extract([Source(folder, "set")], out, EVERYTHING, keep_burned_in=True, progress=False)
    assert summary.files_in == sum(path.is_file() for path in folder.rglob("*"))
    assert summary.files_in == summary.files_in_manifest + summary.files_in_rejects
    assert sorted(read_rejects(out).column("reason").to_pylist()) == sorted(truth.rejects.values())
    stacks: dict[tuple[str, int], list[dict]] = {}
    for row in read_manifest(out).to_pylist():
        stacks.setdefault((row["series_h"], row["stack_index"]), []).append(row)
    assert len(stacks) == len(truth.stacks)
    left = list(stacks.values())
    for expected in truth.stacks:
        (rows,) = (rows for rows in left if holds(out, rows, expected))
        assert [row["slice_index"] for row in rows] == list(range(len(expected.values)))
        assert all(set(row["flags"]) - {"quantised"} == expected.flags for row in rows)
        if expected.origins is None:
            assert all(row["origin"] is None for row in rows)
        else:
            assert np.abs(np.array([row["origin"] for row in rows]) - expected.origins).max() <= PLACE_MM


def holds(out: Path, rows: list[dict], expected: Expected) -> bool:
    """Whether slices of the shards have these values; values that are no integers are stored in 65,536 steps."""
    if len(rows) != len(expected.values):
        return False
    for row, value in zip(rows, expected.values, strict=True):
        pixels = read_slice(out, row)
        allowed = 0.51 * row["scale"] if "quantised" in row["flags"] else 0
        if pixels.shape != value.shape or np.abs(pixels.astype(float) - value.astype(float)).max() > allowed:
            return False
    return True


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 45


@pytest.mark.slow
def test_page_is_current(tmp_path: Path) -> None:
    page = (REPOSITORY / "docs" / "conformance.md").read_text(encoding="utf-8")
    verdicts = {}
    for name, make in CASES.items():
        folder = tmp_path / name
        folder.mkdir()
        verdicts[name] = ours(folder, make(folder))
    assert own_column(page) == verdicts
    assert set(verdicts.values()) == {"ok"}
