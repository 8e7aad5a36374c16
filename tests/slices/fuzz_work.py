"""What a worker does with a part of mutants: the usual, and it writes down time and memory of each unit."""

from __future__ import annotations

import json
import os
import resource
import time

from lvm_med_monai.slices.work.part_extraction import Events, Job, extract_part

LOG = "units.log"
"""Beside the output: one JSON list a unit, name of its first file, seconds, and peak bytes of its worker."""


def timed_part(job: Job, events: Events) -> None:
    """`extract_part`, which logs the units that end, however they end but by a crash of the process."""
    open_unit: list[tuple[int, float]] = []

    def close() -> None:
        if open_unit:
            number, begin = open_unit.pop()
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            entry = [job.part.units[number].files[0].path, time.monotonic() - begin, peak]
            log = os.open(job.out.parent / LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            os.write(log, (json.dumps(entry) + "\n").encode())
            os.close(log)

    def on_unit(number: int) -> None:
        close()
        open_unit.append((number, time.monotonic()))
        events.on_unit(number)

    try:
        extract_part(job, Events(on_unit, events.on_slice))
    finally:
        close()
