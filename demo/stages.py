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
from threading import Event

from lvm_med_monai.whole_file import whole_file

_START = "#### running"
"""Begins the log of each command."""
_SUMMARY = ("files_in", "slices ", "rejected", "ok ")
"""Lines of the extraction's and the verification's summaries that are worth showing."""
_POLL_SECONDS = 0.2

Show = Callable[[str], None]


class StageError(RuntimeError):
    """A command of a stage failed."""


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


@dataclass(frozen=True)
class Record:
    """What is known of a stage: whether it finished, and the seconds of all its attempts."""

    fingerprint: str
    finished: bool = False
    seconds: float = 0.0


def read_record(stage: Stage, output: Path) -> Record:
    """Record of a stage in an output folder; an empty one if these commands never ran there."""
    path = _marker(stage, output)
    if path.is_file():
        record = Record(**json.loads(path.read_text()))
        if record.fingerprint == stage.fingerprint:
            return record
    return Record(stage.fingerprint)


def run_stage(stage: Stage, output: Path, show: Show, threads: int, stop: Event) -> None:
    """Run a stage unless it is finished, and keep a record of it whether it finishes, fails or is stopped.

    Args:
        stage: what to run.
        output: folder of records and logs.
        show: takes lines of progress.
        threads: threads for the numerical libraries of its commands.
        stop: set by others to stop the stage.

    Raises:
        StageError: a command failed; the message tells the cause.
    """
    record = read_record(stage, output)
    if record.finished:
        show(f"done before, {record.seconds:.0f} s")
        return
    marker = _marker(stage, output)
    marker.parent.mkdir(parents=True, exist_ok=True)
    start, finished = time.monotonic(), False
    try:
        for command in stage.commands:
            _run(command, marker.with_suffix(".log"), show, threads, stop)
        finished = not stop.is_set()
    finally:
        seconds = round(record.seconds + time.monotonic() - start, 1)
        with whole_file(marker) as partial:
            partial.write_text(json.dumps(vars(Record(stage.fingerprint, finished, seconds))))
    if finished:
        show(f"done, {seconds:.0f} s")


def _marker(stage: Stage, output: Path) -> Path:
    return output / "stages" / f"{stage.name.replace('/', '-')}.json"


def _run(command: Sequence[str], log: Path, show: Show, threads: int, stop: Event) -> None:
    """Run a command with its output in a log, and show what in the log is progress."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": str(threads)}
    with log.open("a+", encoding="utf-8", errors="replace") as sink:
        sink.write(f"{_START} {' '.join(command)}\n")
        sink.flush()
        with log.open(encoding="utf-8", errors="replace") as source:
            source.seek(0, os.SEEK_END)
            process = subprocess.Popen(command, stdout=sink, stderr=subprocess.STDOUT, env=environment)
            try:
                while process.poll() is None and not stop.wait(_POLL_SECONDS):
                    _show_new(source.readlines(), show)
            finally:
                process.terminate()
                process.wait()
            _show_new(source.readlines(), show)
    if process.returncode and not stop.is_set():
        raise StageError(
            f"{' '.join(command[:4])} ... failed: {cause(log.read_text(encoding='utf-8'))}\nIts log: {log}"
        )


def _show_new(lines: Sequence[str], show: Show) -> None:
    for line in lines:
        if (progress := progress_of(line)) is not None:
            show(progress)


def cause(log: str) -> str:
    """First error that a log reports: where errors are chained, the one that the others wrap."""
    errors = re.findall(r"^\w+(?:\.\w+)*(?:Error|Exception): .*$", log.rpartition(_START)[2], flags=re.MULTILINE)
    return errors[0] if errors else "it gave no reason"


def progress_of(line: str) -> str | None:
    """The part of a log line worth showing, or None: summaries of epochs, and the counts of the extraction."""
    line = line.rstrip()
    if match := re.search(r"Epoch\[(\d+)\] Metrics -- (.*)", line):
        shown = re.findall(
            r"\b(loss|accuracy|seen_accuracy|unseen_mild_accuracy|train_dice|val_mean_dice): (\S+)", match[2]
        )
        return f"epoch {match[1]}: " + ", ".join(f"{name} {value}" for name, value in shown)
    return line if line.startswith(_SUMMARY) else None
