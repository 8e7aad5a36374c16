from __future__ import annotations

import json
import sys

import pytest

from demo.stages import Stage, StageError, cause, progress_of, run_stages


def python(code):
    return (sys.executable, "-c", code)


def append(path, word):
    return python(f"open({str(path)!r}, 'a').write({word!r})")


def test_finished_stages_are_not_run_again(tmp_path):
    stages = [Stage("one", (append(tmp_path / "trace", "a"),)), Stage("part/two", (append(tmp_path / "trace", "b"),))]
    said = []
    first = run_stages(stages, tmp_path, said.append)
    second = run_stages(stages, tmp_path, said.append)
    assert (tmp_path / "trace").read_text() == "ab"
    assert first == second
    assert first.keys() == {"one", "part/two"}
    assert said[-1].startswith("[2/2] part/two: done before")


def test_a_stage_whose_commands_changed_runs_again(tmp_path):
    run_stages([Stage("one", (append(tmp_path / "trace", "a"),))], tmp_path, print)
    run_stages([Stage("one", (append(tmp_path / "trace", "b"),))], tmp_path, print)
    assert (tmp_path / "trace").read_text() == "ab"


def test_a_failed_stage_tells_the_cause_and_runs_again_next_time(tmp_path):
    code = (
        "try:\n  raise ValueError('the disk is full: free some room')\n"
        "except ValueError as error:\n  raise RuntimeError('wrapped') from error"
    )
    stages = [Stage("one", (append(tmp_path / "trace", "a"), python(code)))]
    for _ in range(2):
        with pytest.raises(StageError, match="failed: ValueError: the disk is full: free some room"):
            run_stages(stages, tmp_path, print)
    assert (tmp_path / "trace").read_text() == "aa"
    assert json.loads((tmp_path / "stages" / "one.json").read_text())["finished"] is False


def test_an_interrupt_stops_the_command_and_keeps_its_time(tmp_path):
    stages = [Stage("one", (python("import time; print('Epoch[1] Metrics -- a: 1', flush=True); time.sleep(60)"),))]

    def interrupt(message):
        if "Epoch" in message:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_stages(stages, tmp_path, interrupt)
    record = json.loads((tmp_path / "stages" / "one.json").read_text())
    assert record["finished"] is False
    assert 0 <= record["seconds"] < 30


@pytest.mark.parametrize(
    ("log", "wanted"),
    [
        ("a\nValueError: b\nmore\nRuntimeError: c\n", "ValueError: b"),
        ("nothing\n", "it gave no reason"),
        ("torch.x.SomeError: d\n", "torch.x.SomeError: d"),
    ],
    ids=["chained", "silent", "dotted"],
)
def test_cause(log, wanted):
    assert cause(log) == wanted


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("2026-01-01 - INFO - Epoch[3] Metrics -- loss: 0.5 \n", "      Epoch[3] Metrics -- loss: 0.5"),
        ("2026-01-01 - INFO - > epochs: 2\n", None),
        ("Traceback (most recent call last):\n", None),
    ],
)
def test_only_progress_is_shown(line, shown):
    assert progress_of(line) == shown
