"""Units that crashed, hung or ran out of memory, remembered beside a part until it is finished."""

from __future__ import annotations

import json
from pathlib import Path

from lvm_med_monai.slices.work.part_extraction import PARTS, Job, Left, write_json


class LeftOut:
    """The file that remembers which units of a part are left out.

    Args:
        job: the part, with the units that are known to be left out.
    """

    def __init__(self, job: Job) -> None:
        self._job = job

    @property
    def path(self) -> Path:
        """Beside the part; it holds numbers and reasons only."""
        return self._job.out / PARTS / f".{self._job.folder}.left_out.json"

    @property
    def _mark(self) -> list[str]:
        return [self._job.fingerprint, self._job.limits]

    def add(self, unit: int, left: Left) -> Job:
        """Leave a unit out, and remember it.

        Raises:
            RuntimeError: it is left out already, so reading it is not what fails.
        """
        if unit in self._job.left_out:
            raise RuntimeError(f"part {self._job.folder} fails without its units ({left[1]}); please report it")
        job = self._job.without(unit, left)
        units = {str(number): list(why) for number, why in job.left_out.items()}
        write_json(self.path, {"fingerprint": self._mark, "units": units})
        return job

    def restore(self) -> Job:
        """The job with what an interrupted run had left out, if it was about the same files and settings."""
        try:
            record = json.loads(self.path.read_text(encoding="utf-8"))
            units = record["units"] if record["fingerprint"] == self._mark else {}
        except (FileNotFoundError, json.JSONDecodeError, KeyError, TypeError):
            return self._job
        job = self._job
        for number, (reason, detail) in units.items():
            job = job.without(int(number), (reason, detail))
        return job

    def clear(self) -> None:
        """Forget; the part is finished and tells itself."""
        self.path.unlink(missing_ok=True)
