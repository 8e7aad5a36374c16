from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lvm_med_monai.slices import Source
from lvm_med_monai.slices.report.scan import describe_part, scan, table
from lvm_med_monai.slices.work.plan import Plan, make_plan
from lvm_med_monai.slices.work.progress import Bar
from lvm_med_monai.slices.work.settings import WorkLimits
from tests.slices.factories import series
from tests.slices.worker_faults import faulty


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    series(tmp_path / "in" / "ct", 3)
    for name in ("hang", "memory", "segfault", "sound"):
        pixels = np.random.default_rng(0).integers(0, 255, (40, 44), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "in" / f"{name}.png")
    (tmp_path / "in" / "notes.txt").write_text("x")
    return make_plan([Source(tmp_path / "in")])


def rows_of(plan: Plan, **options: object) -> list[dict[str, object]]:
    with Bar(shown=False) as bar:
        return list(scan(plan, bar, **options))


def test_workers_see_what_this_process_sees(plan: Plan) -> None:
    rows = rows_of(plan)
    assert rows == rows_of(plan, workers=1)
    assert [row["kind"] for row in rows] == ["stack"] * 3 + ["reject"] + ["stack"] * 2
    assert (rows[0]["slices"], rows[0]["files"], rows[0]["modality"]) == (3, 3, "CT")
    assert str(rows[3]["path"]).endswith("in/notes.txt")


@pytest.mark.slow
def test_a_header_that_kills_its_reader_is_a_line_of_the_table(plan: Plan) -> None:
    work = functools.partial(describe_part, read_unit=faulty)
    rows = rows_of(plan, workers=1, limits=WorkLimits(seconds=6), work=work)
    reasons = {Path(str(row["path"])).name: row["reason"] for row in rows if row["kind"] == "reject"}
    assert reasons == {
        "hang.png": "timeout",
        "memory.png": "memory",
        "segfault.png": "crashed",
        "notes.txt": "unrecognised",
    }
    text = table(rows)
    assert "40x44" in text
    assert "SIGSEGV" in text
