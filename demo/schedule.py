"""Run stages in groups, several of a group at a time."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from pathlib import Path

from demo.stages import Stage, read_record, run_stage

AT_ONCE = 2
"""Stages of a group that run at a time: small networks use two cores better with one thread each than with two."""

_TOTAL = "seconds_total"


def run_groups(groups: Sequence[Sequence[Stage]], output: Path, show: Callable[[str], None]) -> dict[str, float]:
    """Run what is not finished yet, group after group, and tell the seconds of every stage.

    Seconds of interrupted attempts count. Stages of a group run side by side, so their seconds overlap.

    Args:
        groups: stages that may run side by side; a group starts when the one before it is finished.
        output: folder of records and logs.
        show: takes lines of progress.

    Raises:
        StageError: a stage failed; the others are stopped first.
        KeyboardInterrupt: passed on after all stages were stopped.
    """
    names = [stage.name for group in groups for stage in group]
    start = time.monotonic()
    try:
        for group in groups:
            _run_group(group, names, output, show)
    finally:
        spent = output / "stages" / _TOTAL
        spent.parent.mkdir(parents=True, exist_ok=True)
        spent.write_text(f"{total_seconds(output) + time.monotonic() - start:.1f}")
    return {stage.name: read_record(stage, output).seconds for group in groups for stage in group}


def total_seconds(output: Path) -> float:
    """Wall time that all attempts at the stages of an output folder took together."""
    spent = output / "stages" / _TOTAL
    return float(spent.read_text()) if spent.is_file() else 0.0


def _run_group(group: Sequence[Stage], names: Sequence[str], output: Path, show: Callable[[str], None]) -> None:
    workers = min(AT_ONCE, len(group))
    threads = max(1, (os.cpu_count() or 1) // workers)
    stop = threading.Event()
    with ThreadPoolExecutor(workers) as pool:

        def start(stage: Stage) -> Future[None]:
            label = f"[{names.index(stage.name) + 1}/{len(names)}] {stage.name}: "
            return pool.submit(run_stage, stage, output, lambda line: show(label + line), threads, stop)

        running = [start(stage) for stage in group]
        try:
            wait(running, return_when=FIRST_EXCEPTION)
        finally:
            if not all(future.done() and future.exception() is None for future in running):
                stop.set()
                for future in running:
                    future.cancel()
    for future in running:
        if not future.cancelled():
            future.result()
