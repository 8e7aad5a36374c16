"""Parts as tasks of a local Ray cluster of two workers."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lvm_med_monai.slices import SlicePolicy, extract, read_rejects, verify
from lvm_med_monai.slices.work import extraction, units
from lvm_med_monai.slices.work.part_extraction import extract_part
from lvm_med_monai.slices.work.settings import WorkLimits
from tests.slices.factories import REPOSITORY, series
from tests.slices.worker_faults import faulty

ray = pytest.importorskip("ray", reason="the extra ray is not installed")
ALL = SlicePolicy(every_mm=0)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")]))
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100 << 20)
    yield
    ray.shutdown()


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_ray_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "MIN_PART_BYTES", 4 * units.FILE_BYTES)
    monkeypatch.setattr(units, "MAX_PART_BYTES", 4 * units.FILE_BYTES)
    monkeypatch.chdir(tmp_path)
    source = Path("in")
    for number in range(2):
        series(source / f"ct{number}", 3, lambda i, number=number: {"SeriesInstanceUID": f"1.2.{number}"})
    for number in range(6):
        pixels = np.random.default_rng(number).integers(0, 255, (40, 44), dtype=np.uint8)
        Image.fromarray(pixels).save(source / f"{number}.png")
    here = extract([source], "here", ALL, "key", progress=False)
    assert here.parts_done >= 3
    there = extract([source], "there", ALL, "key", progress=False, engine="ray")
    assert there == here
    one, other = (
        {path.relative_to(root): path.read_bytes() for path in Path(root).rglob("*") if path.is_file()}
        for root in ("here", "there")
    )
    assert one == other

    for fault in ("segfault", "hang", "memory"):
        (source / f"{fault}.png").write_bytes((source / "0.png").read_bytes())
    monkeypatch.setattr(
        extraction,
        "run_jobs",
        functools.partial(extraction.run_jobs, work=functools.partial(extract_part, read_unit=faulty)),
    )
    limits = WorkLimits(seconds=8)
    summary = extract([source], "there", ALL, "key", progress=False, engine="ray", limits=limits)
    assert summary.units_failed == 3
    assert {row["reason"] for row in read_rejects("there").to_pylist()} == {"crashed", "timeout", "memory"}
    assert verify("there").ok


def test_without_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    Image.fromarray(np.eye(40, dtype=np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(ImportError, match=r"pip install lvm-med-monai\[ray\]"):
        extract([tmp_path / "a.png"], tmp_path / "out", progress=False, engine="ray")
