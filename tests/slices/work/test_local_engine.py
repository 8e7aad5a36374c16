"""What a worker may answer; what it does is tested in test_engines."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lvm_med_monai.slices import extract
from lvm_med_monai.slices.work import extraction, local_engine
from lvm_med_monai.slices.work.local_engine import _is_answer
from lvm_med_monai.slices.work.part_extraction import extract_part, open_unit
from lvm_med_monai.slices.work.settings import WorkLimits
from lvm_med_monai.slices.work.worker import failure


@pytest.mark.parametrize(
    "answer", [["unit", 0], ["unit", 2], ["slices", 7], ["done"], ["failed", 1, "memory", "x"], ["fatal", "disk", "x"]]
)
def test_answers(answer: list[object]) -> None:
    assert _is_answer(answer, 3)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {},
        "done",
        [1],
        ["unit"],
        ["unit", 3],
        ["unit", -1],
        ["unit", "0"],
        ["unit", True],
        ["done", 1],
        ["failed", 1, 2, 3],
        ["eval", "x"],
    ],
    ids=json.dumps,
)
def test_nonsense(answer: object) -> None:
    assert not _is_answer(answer, 3)


def test_failures_do_not_quote_the_file() -> None:
    reason, detail = failure(KeyError("CANARY"))
    assert (reason, "CANARY" in detail, "KeyError" in detail) == ("crashed", False, True)
    assert failure(MemoryError())[0] == "memory"


def talkative(unit, root, private):
    """Writes nonsense to every open socket but the standard streams, then ends as if all were well."""
    if "talk" in unit.files[0].path:
        for name in os.listdir("/proc/self/fd"):
            if int(name) > 2 and "socket" in os.readlink(f"/proc/self/fd/{name}"):
                os.write(int(name), b"\x00\x00\x00\x05hello")
    return open_unit(unit, root, private)


def test_a_worker_that_talks_nonsense_costs_its_unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    for name in ("talk", "other"):
        pixels = np.random.default_rng(0).integers(0, 255, (40, 44), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "in" / f"{name}.png")
    run_jobs = extraction.run_jobs
    monkeypatch.setattr(
        extraction,
        "run_jobs",
        lambda *arguments: run_jobs(*arguments, work=functools.partial(extract_part, read_unit=talkative)),
    )
    summary = extract([tmp_path / "in"], tmp_path / "out", progress=False, workers=1)
    assert (summary.slices, summary.rejected) == (1, {"crashed": 1})


@pytest.mark.parametrize(
    ("memory", "seconds"), [(1 << 20, 1.0), (1 << 30, 0.0), (1 << 30, -1.0), (1 << 30, float("nan"))]
)
def test_limits_that_cannot_be(memory: int, seconds: float) -> None:
    with pytest.raises(ValueError, match=r"at least 512 MiB|is positive"):
        WorkLimits(memory, seconds)


@pytest.mark.parametrize(("kind", "size", "expected"), [("dicom", 9 << 30, 10), ("zip", 100, 10), ("tar", 3 << 30, 40)])
def test_archives_have_more_time(kind: str, size: int, expected: float) -> None:
    assert WorkLimits(seconds=10).seconds_for(kind, size) == expected


def test_nothing_of_the_caller_reaches_a_worker_but_its_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Callable[..., object]] = {}
    monkeypatch.setattr(local_engine.subprocess, "Popen", lambda *_, **options: seen.update(options))
    local_engine.start_worker(WorkLimits()).connection.close()
    assert seen["stdout"] == seen["stderr"] == local_engine.subprocess.DEVNULL
    assert len(seen["pass_fds"]) == 1
    assert os.path.abspath(sys.path[-1]) in seen["env"]["PYTHONPATH"]
    assert seen["env"]["OMP_NUM_THREADS"] == "1"
