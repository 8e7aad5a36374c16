"""What is remembered between an interruption and the next run, and what the bar shows meanwhile."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lvm_med_monai.slices import Source
from lvm_med_monai.slices.work.left_out import LeftOut
from lvm_med_monai.slices.work.part_extraction import PARTS, Job
from lvm_med_monai.slices.work.progress import Bar
from lvm_med_monai.slices.work.settings import Settings
from lvm_med_monai.slices.work.units import Part, PlannedFile, Unit

CRASHED = ("crashed", "it died")


@pytest.fixture
def job(tmp_path: Path) -> Job:
    (tmp_path / PARTS).mkdir()
    units = tuple(Unit("picture", f"file {i}", (PlannedFile(str(i), 99, 0),)) for i in range(4))
    part = Part(Source(tmp_path), 0, units)
    return Job(part, tmp_path, "part-00000", "part", 1, Settings(), tmp_path / "key", "fingerprint", "limits")


def test_an_interrupted_run_is_remembered(job: Job) -> None:
    assert LeftOut(job).restore() == job
    left = LeftOut(LeftOut(job).add(2, CRASHED)).add(1, ("timeout", "it hung"))
    assert left.left_out == {2: CRASHED, 1: ("timeout", "it hung")}
    assert LeftOut(job).restore() == left
    LeftOut(left).clear()
    assert LeftOut(job).restore() == job
    LeftOut(job).clear()


@pytest.mark.parametrize("change", [{"fingerprint": "other"}, {"limits": "other"}], ids=["files", "limits"])
def test_other_files_or_limits_begin_anew(job: Job, change: dict[str, str]) -> None:
    LeftOut(job).add(2, CRASHED)
    other = replace(job, **change)
    assert LeftOut(other).restore() == other


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"fingerprint": ["fingerprint", "limits"]}'])
def test_half_a_record_is_none(job: Job, text: str) -> None:
    LeftOut(job).path.write_text(text)
    assert LeftOut(job).restore() == job


def test_a_unit_is_left_out_once(job: Job) -> None:
    left = LeftOut(job).add(2, CRASHED)
    with pytest.raises(RuntimeError, match="fails without its units"):
        LeftOut(left).add(2, CRASHED)


def test_the_bar_counts_a_part_that_is_begun_again_once(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    with Bar(shown=True) as bar:
        bar.begin([job])
        for _ in range(2):
            for number in range(3):
                bar.on_unit(job, number)
                bar.on_slices(job, 10)
        bar.on_unit(job, 3)
        bar.on_done(job)
        bar._bar.refresh()
    shown = capsys.readouterr().err.split("\r")[-1]
    assert "100%" in shown
    assert "units 4/4, 30 slices" in shown


def test_a_bar_that_is_not_shown(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    with Bar(shown=False) as bar:
        bar.on_planned(job.part.units[0])
        bar.begin([job])
        bar.on_unit(job, 0)
        bar.on_slices(job, 1)
        bar.on_done(job)
    assert capsys.readouterr().err == ""
