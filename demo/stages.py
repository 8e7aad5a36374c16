"""Stages with files between them: each runs once, and an interrupted one runs again."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

_START = "#### running"
"""Begins the log of each command."""


@dataclass(frozen=True)
class Stage:
    """A command that writes into a folder.

    Attributes:
        name: path-like name; its log and its finish marker are named after it.
        commands: argument lists, run one after another.
    """

    name: str
    commands: tuple[tuple[str, ...], ...]

    @property
    def fingerprint(self) -> str:
        """Changes when the commands change, so that a stage of another plan is not taken for this one."""
        return hashlib.sha256(json.dumps(self.commands).encode()).hexdigest()[:16]


class StageError(RuntimeError):
    """A command of a stage failed."""


def run_stages(stages: Sequence[Stage], output: Path, show: Callable[[str], None]) -> dict[str, float]:
    """Run what is not finished yet, and tell the seconds that each stage took when it ran.

    A marker beside the log says that a stage is finished. Seconds of interrupted attempts count, so the sum is the
    time that the work took, however often it was started.

    Raises:
        StageError: a command failed; the message quotes the end of its log.
    """
    seconds = {}
    for number, stage in enumerate(stages, start=1):
        marker = output / "stages" / f"{stage.name.replace('/', '-')}.json"
        record = _read(marker, stage)
        title = f"[{number}/{len(stages)}] {stage.name}"
        if record["finished"]:
            show(f"{title}: done before, {record['seconds']:.0f} s")
        else:
            show(title)
            _attempt(stage, marker, record["seconds"], show)
        seconds[stage.name] = _read(marker, stage)["seconds"]
    return seconds


def _read(marker: Path, stage: Stage) -> dict:
    """Record of a stage, empty if there is none for these commands."""
    if marker.is_file():
        record = json.loads(marker.read_text())
        if record["fingerprint"] == stage.fingerprint:
            return record
    return {"fingerprint": stage.fingerprint, "finished": False, "seconds": 0.0}


def _attempt(stage: Stage, marker: Path, seconds_before: float, show: Callable[[str], None]) -> None:
    """Run the commands of a stage and write its marker, whether they finish, fail or are interrupted."""
    marker.parent.mkdir(parents=True, exist_ok=True)
    start, finished = time.monotonic(), False
    try:
        for command in stage.commands:
            _run(command, marker.with_suffix(".log"), show)
        finished = True
    finally:
        seconds = seconds_before + time.monotonic() - start
        record = {"fingerprint": stage.fingerprint, "finished": finished, "seconds": round(seconds, 1)}
        partial = marker.with_suffix(".partial")
        partial.write_text(json.dumps(record))
        os.replace(partial, marker)


def _run(command: Sequence[str], log: Path, show: Callable[[str], None]) -> None:
    """Run a command, keep all that it says in a log, and show its progress lines as they come."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "ignore"}
    with log.open("a", encoding="utf-8") as sink:
        sink.write(f"{_START} {' '.join(command)}\n")
        sink.flush()
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, errors="replace"
        )
        assert process.stdout is not None
        try:
            for line in process.stdout:
                sink.write(line)
                if (progress := progress_of(line)) is not None:
                    show(progress)
            code = process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise
    if code:
        raise StageError(
            f"{' '.join(command[:4])} ... failed: {cause(log.read_text(encoding='utf-8'))}\nIts log: {log}"
        )


def cause(log: str) -> str:
    """First error that a log reports: where errors are chained, the one that the others wrap."""
    errors = re.findall(r"^\w+(?:\.\w+)*(?:Error|Exception): .*$", log.rpartition(_START)[2], flags=re.MULTILINE)
    return errors[0] if errors else "it gave no reason"


def progress_of(line: str) -> str | None:
    """The part of a log line worth showing, or None: epoch summaries of MONAI's StatsHandler, and our own counts."""
    line = line.rstrip()
    if "Epoch[" in line and "--" in line:
        return "      " + line.split(" - INFO - ")[-1]
    if "slices" in line and " - " not in line and "%|" not in line:
        return "      " + line
    return None
