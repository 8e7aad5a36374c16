from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path

import nibabel
import numpy as np
import pytest

from lvm_med_monai.slices import Source, WorkLimits, extract, read_manifest, read_rejects, verify
from tests.slices.factories import REPOSITORY
from tests.slices.fuzz import POLICY, is_fine
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


def float_volume(path: Path, values: list[float]) -> None:
    volume = np.resize(np.array(values, np.float32), (40, 36, 6))
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), path)


def meta_image(path: Path, key: str, value: str) -> None:
    header = {"ObjectType": "Image", "NDims": "3", "BinaryData": "True", "TransformMatrix": "1 0 0 0 1 0 0 0 1"}
    header |= {"DimSize": "36 40 6", "ElementType": "MET_SHORT", key: value, "ElementDataFile": "LOCAL"}
    text = "".join(f"{name} = {content}\n" for name, content in header.items())
    path.write_bytes(text.encode() + np.arange(36 * 40 * 6, dtype="<i2").tobytes())


def zip_with_false_offset(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "x" * 100)
        archive.writestr("b.txt", "y" * 100)
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\x01\x02")  # of the first member; the distance to its head stands 42 bytes behind
    data[entry + 42 : entry + 46] = (0xFFFFFFF0).to_bytes(4, "little")
    data[-6:-2] = (0x7FFFFFFF).to_bytes(4, "little")  # of the whole list
    path.write_bytes(data)


REGRESSIONS = {
    "span.nii": (lambda path: float_volume(path, [-3.4e38, 0.0, 3.4e38]), {}),
    "level.nii": (lambda path: float_volume(path, [0.0, 1e33, 1e33, 1e33]), {}),
    "tiny.nii": (lambda path: float_volume(path, [0.0, 1e-42, 1e-40]), {}),
    "flat.mha": (lambda path: meta_image(path, "NDims", "-0.0"), {"unsupported": 1}),
    "axes.mha": (lambda path: meta_image(path, "TransformMatrix", "1 0 0 0 1 0 0 1e308 1"), {"corrupt": 1}),
    "offset.zip": (zip_with_false_offset, {"corrupt": 2}),
}
"""What earlier runs found: name -> how to make such a file, and its rejects."""


@pytest.mark.slow
def test_what_earlier_runs_found(tmp_path: Path) -> None:
    """Nothing crashes or hangs a worker; sound files with extreme values are extracted."""
    for name, (make, _) in REGRESSIONS.items():
        make(tmp_path / name)
    sources = [Source(tmp_path / name, name) for name in REGRESSIONS]
    options = {"workers": 2, "limits": WorkLimits(memory=2 << 30, seconds=20), "progress": False}
    summary = extract(sources, tmp_path / "out", POLICY, tmp_path / "key", **options)
    assert summary.units_failed == 0
    rejected = Counter((row["dataset"], row["reason"]) for row in read_rejects(tmp_path / "out").to_pylist())
    expected = {(name, reason): n for name, (_, found) in REGRESSIONS.items() for reason, n in found.items()}
    assert dict(rejected) == expected
    kept = set(read_manifest(tmp_path / "out")["dataset"].to_pylist())
    assert kept == {name for name in REGRESSIONS if name.endswith(".nii")}
    assert verify(tmp_path / "out").ok


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
    report = json.loads(RESULT.read_text(encoding="utf-8"))
    assert report["mutants"] >= 20000
    assert report["seeds"] >= 30
    assert is_fine(report)
