from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.slices.factories import REPOSITORY
from tests.slices.fuzz_mutate import MUTATIONS, mutant
from tests.slices.fuzz_seeds import seeds

RESULT = REPOSITORY / "benchmarks" / "results" / "fuzz.json"
SOURCES = {"a.dcm": bytes(range(256)) * 8 + b"DS\x08\x00-0.5 100", "b.txt": b"dims 12 34.5\n" * 50}


def test_seeds_are_the_same_at_every_call() -> None:
    one, other = seeds(), seeds()
    assert len(one) >= 30
    differing = [name for name in one if one[name] != other[name]]
    assert set(differing) <= {"brain.mgz", "pcam.h5"}  # their writers add the time of day


def test_a_mutant_is_decided_by_number_and_seed() -> None:
    assert mutant(7, 0, SOURCES) == mutant(7, 0, SOURCES)
    assert mutant(7, 0, SOURCES) != mutant(7, 1, SOURCES)
    assert len({mutant(i, 0, SOURCES) for i in range(60)}) >= 58


@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda mutate: mutate.__name__)
@pytest.mark.parametrize("data", [SOURCES["a.dcm"], SOURCES["b.txt"], b"\0"], ids=["binary", "text", "one byte"])
def test_mutations_take_any_file(mutate, data: bytes) -> None:
    random = np.random.default_rng(0)
    results = [bytes(mutate(bytearray(data), random, list(SOURCES.values()))) for _ in range(20)]
    assert max(map(len, results)) <= 16 * max(len(data), 2048) + 512
    assert len(data) == 1 or any(result != data for result in results)


@pytest.mark.slow
def test_300_mutants(tmp_path: Path) -> None:
    """In a process of its own, as the long run does it; its death would be a failure of the extraction."""
    command = [sys.executable, "-m", "tests.slices.fuzz", "--batch", "0", "300", "-o", str(tmp_path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["mutants"] == 300
    assert (report["unaccounted"], report["faults"], report["failed"]) == ([], [], [])
    assert report["longest_unit_s"] <= 10
    assert report["worker_peak_bytes"] <= 2 << 30
    assert report["outcomes"]["manifest"] > 20


def test_the_long_run_broke_no_promise() -> None:
    from tests.slices.fuzz import is_fine

    report = json.loads(RESULT.read_text(encoding="utf-8"))
    assert report["mutants"] >= 20000
    assert report["seeds"] >= 30
    assert is_fine(report)
