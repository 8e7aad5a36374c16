"""Work on parts in worker processes of this machine, or in this process."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Protocol, cast

from lvm_med_monai.slices.work.left_out import LeftOut
from lvm_med_monai.slices.work.part_extraction import Events, Job, Left, StalePlanError, Work, extract_part
from lvm_med_monai.slices.work.settings import WorkLimits
from lvm_med_monai.slices.work.worker import DISK_FAULTS, WORKER_ENVIRONMENT, failure

MAX_START_FAILURES = 3
"""Workers in a row that die before their first unit: the machine is at fault, not a file."""
MAX_ANSWER = 1 << 12
"""Bytes of an answer of a worker."""
SECONDS_TO_START = 300.0
"""How long a worker may take until its first unit: it imports the libraries, perhaps from a slow file system."""
SECONDS_TO_DIE = 5.0
"""How long a worker that hung up may take to end."""


LONGEST_PAUSE = 3600.0
"""Seconds between looks at the clock."""
ANSWERS: dict[str, tuple[type, ...]] = {
    "unit": (int,),
    "slices": (int,),
    "done": (),
    "failed": (int, str, str),
    "fatal": (str, str),
}
"""Kinds of answers of a worker, and the types of what follows; see `worker`."""
FATAL: dict[str, type[Exception]] = {"stale": StalePlanError, "disk": OSError, "import": ImportError}
"""What ends a run, as a worker names it."""


class Progress(Protocol):
    """Who is told what happens."""

    def begin(self, jobs: Sequence[Job]) -> None:
        """These parts are to be worked on."""

    def on_unit(self, job: Job, number: int) -> None:
        """A unit of a part begins; the first one also when the part is done again."""

    def on_slices(self, job: Job, count: int) -> None:
        """Slices were written."""

    def on_done(self, job: Job) -> None:
        """A part is finished."""


def run_here(jobs: Iterable[Job], progress: Progress, work: Work = extract_part) -> None:
    """Work on parts one after the other in this process: no limits, and a crash of a decoder ends it.

    Args:
        jobs: the parts.
        progress: told what happens.
        work: what is done with each part.

    Raises:
        StalePlanError: a file has changed since the plan was made.
        OSError: the disk is full, or cannot be written.
    """
    for first in jobs:
        job, done = first, False
        while not done:
            current = [0]

            def on_unit(number: int, job: Job = job, current: list[int] = current) -> None:
                current[0] = number
                progress.on_unit(job, number)

            def on_slice(job: Job = job) -> None:
                progress.on_slices(job, 1)

            try:
                work(job, Events(on_unit, on_slice))
            except StalePlanError:
                raise
            except Exception as error:
                if isinstance(error, ImportError) or (isinstance(error, OSError) and error.errno in DISK_FAULTS):
                    raise
                job = LeftOut(job).add(current[0], failure(error))
            else:
                done = True
                LeftOut(job).clear()
                progress.on_done(job)


@dataclass(eq=False)
class _Worker:
    """A worker process and what it is doing."""

    process: subprocess.Popen[bytes]
    connection: Connection
    job: Job | None = None
    unit: int | None = None
    deadline: float = field(default=float("inf"))

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self.connection.close()


def start_worker(limits: WorkLimits) -> _Worker:
    """Start a process that runs `worker.main`; what its libraries print, which may quote files, goes nowhere."""
    ours, theirs = socket.socketpair()
    paths = [os.path.abspath(path) for path in sys.path]
    environment = {**os.environ, **WORKER_ENVIRONMENT, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-m", "lvm_med_monai.slices.work.worker", str(theirs.fileno()), str(limits.memory)]
    process = subprocess.Popen(
        command,
        pass_fds=[theirs.fileno()],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    theirs.close()
    return _Worker(process, Connection(ours.detach()))


class LocalPool:
    """Workers that take parts until there are none left.

    Args:
        workers: how many, at least 1.
        limits: of each unit.
        progress: told what happens.
        work: what is done with each part; it is sent to the workers.
    """

    def __init__(self, workers: int, limits: WorkLimits, progress: Progress, work: Work = extract_part) -> None:
        self._size, self._limits, self._progress, self._work = workers, limits, progress, work
        self._workers: list[_Worker] = []
        self._again: deque[Job] = deque()
        self._start_failures = 0

    def run(self, jobs: Iterable[Job]) -> None:
        """Work on all parts.

        A unit at which a worker dies, or takes too long, is left out, and its part is begun again.

        Raises:
            StalePlanError: a file has changed since the plan was made.
            OSError: the disk is full, or cannot be written.
            ImportError: a library cannot be imported under the limit of memory, or is not there.
            RuntimeError: workers cannot be started.
        """
        source = iter(jobs)
        try:
            while self._assign(source):
                self._wait()
        finally:
            self.close()

    def close(self) -> None:
        """End all workers, whatever they are doing."""
        for worker in self._workers:
            worker.stop()
        self._workers = []

    def _assign(self, source: Iterable[Job]) -> bool:
        """Give each idle worker a part; whether any is at work."""
        idle = [worker for worker in self._workers if worker.job is None]
        while idle or len(self._workers) < self._size:
            job = self._again.popleft() if self._again else next(iter(source), None)
            if job is None:
                break
            if not idle:
                idle.append(start_worker(self._limits))
                self._workers.append(idle[-1])
            worker = idle.pop()
            worker.job, worker.unit, worker.deadline = job, None, time.monotonic() + SECONDS_TO_START
            try:
                worker.connection.send((self._work, job))
            except OSError:
                self._died(worker)
        return any(worker.job is not None for worker in self._workers)

    def _wait(self) -> None:
        busy = {worker.connection: worker for worker in self._workers if worker.job is not None}
        if not busy:
            return
        pause = max(0.0, min(worker.deadline for worker in busy.values()) - time.monotonic())
        for connection in wait(list(busy), min(pause, LONGEST_PAUSE)):
            self._listen(busy[cast("Connection", connection)])
        for worker in busy.values():
            if worker in self._workers and worker.job is not None and time.monotonic() > worker.deadline:
                self._fail(worker, ("timeout", "reading it took longer than the limit; raise --time-limit"))

    def _listen(self, worker: _Worker) -> None:
        """Take one answer. Nonsense, which a hostile file may make a worker say, counts as its death."""
        try:
            answer = json.loads(worker.connection.recv_bytes(MAX_ANSWER))
        except (EOFError, OSError, ValueError):
            answer = None
        assert worker.job is not None
        if not _is_answer(answer, len(worker.job.part.units)):
            self._died(worker)
            return
        kind, *rest = answer
        if kind == "unit":
            self._begin(worker, worker.job, rest[0])
        elif kind == "slices":
            self._progress.on_slices(worker.job, rest[0])
        elif kind == "done":
            LeftOut(worker.job).clear()
            self._progress.on_done(worker.job)
            worker.job, worker.deadline = None, float("inf")
        elif kind == "failed":
            self._failed(worker, worker.job, rest[0], rest[1], rest[2])
        else:
            raise FATAL.get(rest[0], OSError)(rest[1])

    def _failed(self, worker: _Worker, job: Job, unit: int, reason: str, detail: str) -> None:
        """Leave out what raised an error; a worker goes on with the part, unless its memory was exhausted."""
        if reason == "memory" or unit != worker.unit:
            self._fail(worker, ("memory" if reason == "memory" else "crashed", detail))
            return
        self._again.append(LeftOut(job).add(unit, ("crashed", detail)))
        worker.job, worker.deadline = None, float("inf")

    def _begin(self, worker: _Worker, job: Job, number: int) -> None:
        unit = job.part.units[number]
        self._start_failures = 0
        worker.unit = number
        worker.deadline = time.monotonic() + self._limits.seconds_for(unit.kind, unit.size)
        self._progress.on_unit(job, number)

    def _died(self, worker: _Worker) -> None:
        try:
            code = worker.process.wait(timeout=SECONDS_TO_DIE)
        except subprocess.TimeoutExpired:
            code = 0
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"exit code {code}"
        self._fail(worker, ("crashed", f"the process that read it died ({name}); a damaged or hostile file"))

    def _fail(self, worker: _Worker, left: Left) -> None:
        worker.stop()
        self._workers.remove(worker)
        assert worker.job is not None
        if worker.unit is None:
            self._start_failures += 1
            if self._start_failures > MAX_START_FAILURES:
                raise RuntimeError(
                    f"workers die when they start ({left[1]}); raise --memory-limit, or find out with --workers 0"
                )
            self._again.append(worker.job)
        else:
            self._again.append(LeftOut(worker.job).add(worker.unit, left))


def _is_answer(answer: object, units: int) -> bool:
    if not isinstance(answer, list) or not answer or not isinstance(answer[0], str):
        return False
    kind, *rest = answer
    if tuple(type(item) for item in rest) != ANSWERS.get(kind, (None,)):
        return False
    return kind != "unit" or 0 <= rest[0] < units
