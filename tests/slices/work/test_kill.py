"""`kill -9` at any moment, then the same command: nothing is lost, nothing is doubled, every byte is the same."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lvm_med_monai.slices import Source, verify
from lvm_med_monai.slices.work import units
from lvm_med_monai.slices.work.merging import merge
from lvm_med_monai.slices.work.plan import make_plan, write_plan
from tests.slices import killable
from tests.slices.factories import REPOSITORY, series

KILLS = 20
SIZE = 700
"""Edge of the pictures; large enough that parts take a while."""


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """About thirty units of two sources, in about fifteen parts."""
    root = tmp_path_factory.mktemp("inputs")
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        for number in range(4):
            uid = f"1.2.{ord(name[0])}.{number}"
            series(root / name / f"ct{number}", 3, lambda i, uid=uid: {"SeriesInstanceUID": uid})
        for number in range(10):
            pixels = rng.integers(0, 255, (SIZE, SIZE), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png", compress_level=1)
        (root / name / "notes.txt").write_text("x")
    shutil.make_archive(str(root / "one" / "packed"), "gztar", root / "two" / "ct0")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(units, "MIN_PART_BYTES", killable.PART_BYTES)
        patch.setattr(units, "MAX_PART_BYTES", killable.PART_BYTES)
        made = make_plan([Source(root / "one"), Source(root / "two")])
    assert made.counts()["parts"] >= 12
    write_plan(made, root / "plan.parquet")
    return root / "plan.parquet"


def start(plan: Path, out: Path, workers: int, rank: int = 0, world_size: int = 1) -> subprocess.Popen[bytes]:
    arguments = [str(plan), str(out), str(plan.with_name("key")), str(workers), str(rank), str(world_size)]
    command = [sys.executable, "-m", "tests.slices.killable", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(command, env=environment, start_new_session=True, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes]) -> None:
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()


def kill(process: subprocess.Popen[bytes], delay: float) -> bool:
    """Kill a process with all its workers after a delay; whether it was still at work."""
    time.sleep(delay)
    running = process.poll() is None
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return running


def content(out: Path) -> dict[Path, bytes]:
    return {path.relative_to(out): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def undisturbed(plan: Path) -> tuple[dict[Path, bytes], float]:
    begin = time.monotonic()
    finish(start(plan, plan.with_name("undisturbed"), workers=2))
    seconds = time.monotonic() - begin
    assert verify(plan.with_name("undisturbed")).ok
    return content(plan.with_name("undisturbed")), seconds


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_killed_from_scratch(
    plan: Path, undisturbed: tuple[dict[Path, bytes], float], tmp_path: Path, workers: int
) -> None:
    expected, seconds = undisturbed
    rng = np.random.default_rng(workers)
    killed = 0
    for number in range(2):
        out = tmp_path / f"out{number}"
        killed += kill(start(plan, out, workers), float(rng.uniform(0.2, 0.95)) * seconds)
        finish(start(plan, out, workers))
        assert content(out) == expected
    assert killed


@pytest.mark.slow
def test_killed_again_and_again(plan: Path, undisturbed: tuple[dict[Path, bytes], float], tmp_path: Path) -> None:
    expected, seconds = undisturbed
    rng = np.random.default_rng(0)
    out = tmp_path / "out"
    killed = 0
    for number in range(KILLS - 8):
        process = start(plan, out, workers=(1, 2, 4)[number % 3])
        killed += kill(process, float(rng.uniform(0.15, 0.6)) * seconds)
    assert killed >= 5
    finish(start(plan, out, workers=2))
    assert content(out) == expected


@pytest.mark.slow
@pytest.mark.parametrize("world_size", [2, 3])
def test_a_killed_rank(
    plan: Path, undisturbed: tuple[dict[Path, bytes], float], tmp_path: Path, world_size: int
) -> None:
    expected, seconds = undisturbed
    out = tmp_path / "out"
    ranks = [start(plan, out, 1, rank, world_size) for rank in range(world_size)]
    kill(ranks[0], 0.5 * seconds)
    for process in ranks[1:]:
        finish(process)
    finish(start(plan, out, 1, 0, world_size))
    merge(out)
    assert content(out) == expected


@pytest.mark.slow
def test_workers_end_with_their_caller(plan: Path, tmp_path: Path) -> None:
    """A caller that is killed alone leaves no worker behind."""
    process = start(plan, tmp_path / "out", workers=2)
    deadline = time.monotonic() + 30
    while len(_children(process.pid)) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    workers = _children(process.pid)
    assert len(workers) == 2
    process.kill()
    process.communicate()
    while any(_alive(worker) for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(_alive(worker) for worker in workers)


def _children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()] if path.exists() else []


def _alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    try:
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
