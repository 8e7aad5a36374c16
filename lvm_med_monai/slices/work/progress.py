"""The progress bar of an extraction: bytes, units, slices and the rate; no names of files."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from lvm_med_monai.slices.work.part_extraction import Job
from lvm_med_monai.slices.work.units import Unit

FORMAT = "{desc}: {percentage:3.0f}% |{bar}|{postfix} [{elapsed}<{remaining}]"
BYTE = 1.0
"""What an empty unit counts, so that the bar moves."""


class Bar:
    """Shows what an engine tells; the remaining time is by bytes of input.

    Args:
        shown: whether to show anything.
        what: is done, one word.
    """

    def __init__(self, shown: bool, what: str = "extract") -> None:
        self._shown, self._what = shown, what
        self._bar: Any = None
        self._planned = 0
        self._units = self._units_done = 0
        self._running: dict[str, _Running] = {}
        self._slices = 0
        self._start = time.monotonic()

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def on_planned(self, unit: Unit) -> None:
        """A unit was found while planning."""
        if self._bar is None:
            self._open(None, "plan", None)
        self._planned += 1
        self._bar.update(len(unit.files))

    def begin(self, jobs: Sequence[Job]) -> None:
        """See `local_engine.Progress`."""
        self._units = sum(len(job.part.units) for job in jobs)
        self._open(sum(_weight(unit) for job in jobs for unit in job.part.units), self._what, FORMAT)
        self._start = time.monotonic()
        self._show()

    def on_unit(self, job: Job, number: int) -> None:
        """See `local_engine.Progress`."""
        running = self._running.setdefault(job.folder, _Running())
        if number < running.units:  # the part is done again
            self._slices -= running.slices
            running.slices = 0
        self._move(job, running, number)

    def on_slices(self, job: Job, count: int) -> None:
        """See `local_engine.Progress`."""
        self._slices += count
        self._running.setdefault(job.folder, _Running()).slices += count
        self._show()

    def on_done(self, job: Job) -> None:
        """See `local_engine.Progress`."""
        self._move(job, self._running.pop(job.folder, _Running()), len(job.part.units))

    def _move(self, job: Job, running: _Running, number: int) -> None:
        low, high = sorted((running.units, number))
        weight = sum(_weight(unit) for unit in job.part.units[low:high])
        self._units_done += number - running.units
        self._bar.update(weight if number >= running.units else -weight)
        running.units = number
        self._show()

    def _open(self, total: float | None, text: str, layout: str | None) -> None:
        from tqdm import tqdm

        if self._bar is not None:
            self._bar.close()
        options = {} if layout is None else {"bar_format": layout}
        self._bar = tqdm(total=total, desc=text, unit=" files", disable=not self._shown, **options)

    def _show(self) -> None:
        seconds = max(time.monotonic() - self._start, 1e-3)
        rate = f"{self._slices / seconds:,.0f} slices/s"
        self._bar.set_postfix_str(
            f"units {self._units_done}/{self._units}, {self._slices:,} slices, {rate}", refresh=False
        )


class _Running:
    """How far a part is."""

    def __init__(self) -> None:
        self.units = self.slices = 0


def _weight(unit: Unit) -> float:
    return unit.size + BYTE
