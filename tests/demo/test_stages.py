from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from demo.schedule import run_groups, total_seconds
from demo.stages import Stage, StageError, cause, progress_of

ROOT = Path(__file__).resolve().parents[2]


def python(code):
    return (sys.executable, "-c", code)


def append(path, word):
    return python(f"open({str(path)!r}, 'a').write({word!r})")


def test_finished_stages_are_not_run_again(tmp_path):
    groups = [
        [Stage("one", (append(tmp_path / "trace", "a"),))],
        [Stage("part/two", (append(tmp_path / "trace", "b"),))],
    ]
    said = []
    first = run_groups(groups, tmp_path, said.append)
    spent = total_seconds(tmp_path)
    second = run_groups(groups, tmp_path, said.append)
    assert (tmp_path / "trace").read_text() == "ab"
    assert first == second
    assert first.keys() == {"one", "part/two"}
    assert said[-1].startswith("[2/2] part/two: done before")
    assert 0 < spent <= total_seconds(tmp_path) < spent + 1


def test_a_stage_whose_commands_changed_runs_again(tmp_path):
    for word in "ab":
        run_groups([[Stage("one", (append(tmp_path / "trace", word),))]], tmp_path, print)
    assert (tmp_path / "trace").read_text() == "ab"


def test_stages_of_a_group_run_side_by_side_and_groups_one_after_another(tmp_path):
    meet = (
        "import pathlib, time; p = pathlib.Path({!r}); (p / {!r}).touch()\n"
        "while not (p / {!r}).exists(): time.sleep(0.05)"
    )
    pair = [Stage(me, (python(meet.format(str(tmp_path), me, other)),)) for me, other in (("x", "y"), ("y", "x"))]
    check = python(f"import pathlib; assert (pathlib.Path({str(tmp_path)!r}) / 'y').exists()")
    assert run_groups([pair, [Stage("after", (check,))]], tmp_path, print).keys() == {"x", "y", "after"}


def test_a_failed_stage_tells_the_cause_stops_the_others_and_runs_again_next_time(tmp_path):
    code = (
        "try:\n  raise ValueError('the disk is full: free some room')\n"
        "except ValueError as error:\n  raise RuntimeError('wrapped') from error"
    )
    failing = Stage("one", (append(tmp_path / "trace", "a"), python(code)))
    endless = Stage("two", (python("import time; time.sleep(600)"),))
    for _ in range(2):
        with pytest.raises(StageError, match="failed: ValueError: the disk is full: free some room"):
            run_groups([[failing, endless]], tmp_path, print)
    assert (tmp_path / "trace").read_text() == "aa"
    assert all(
        not json.loads((tmp_path / "stages" / f"{name}.json").read_text())["finished"] for name in ("one", "two")
    )


def test_an_interrupt_stops_the_commands_and_keeps_their_time(tmp_path):
    """The whole demo is a process here, as an interrupt reaches it from a terminal."""
    code = (
        "from demo.schedule import run_groups\nfrom demo.stages import Stage\nfrom pathlib import Path\n"
        "import signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # shells let background jobs ignore it\n"
        "sleep = (sys.executable, '-c', 'import time; time.sleep(600)')\n"
        f"run_groups([[Stage('one', (sleep,))]], Path({str(tmp_path)!r}), print)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "stages" / "one.log").is_file():
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in process.communicate(timeout=30)[1]
    record = json.loads((tmp_path / "stages" / "one.json").read_text())
    assert record["finished"] is False
    assert record["seconds"] < 30


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
        (
            "x - INFO - Epoch[3] Metrics -- loss: 0.5 rank: 4 seen_accuracy: 0.9 \n",
            "epoch 3: loss 0.5, seen_accuracy 0.9",
        ),
        ("slices             990\n", "slices             990"),
        ("extract: 24 slices [00:00, 62.40 slices/s]\n", None),
        ("2026-01-01 - INFO - > epochs: 2\n", None),
        ("Traceback (most recent call last):\n", None),
    ],
)
def test_only_progress_is_shown(line, shown):
    assert progress_of(line) == shown
