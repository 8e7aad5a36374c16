"""A process that works on parts for another one, with a limit on its memory.

Decoders of images crash, hang and swallow memory on damaged files, so they run here and cost this process alone. It is
started as a plain command instead of through multiprocessing, so that nothing of the caller is imported or forked:
no libraries, no threads, no ``__main__``. Jobs arrive pickled from the caller; answers are JSON, because what a hostile
file may have made of this process must not be trusted.

Answers are lists: ``["unit", number]`` at the beginning of each unit, ``["slices", count]`` now and then,
``["done"]``, ``["failed", number, reason, detail]`` for a unit, ``["fatal", kind, text]`` for the run.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import sys
import threading
import time
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lvm_med_monai.slices.stack import Reason
    from lvm_med_monai.slices.work.part_extraction import Job, Work

REPORT_SECONDS = 0.2
"""How often slices are reported."""
DISK_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Errors of writing that no other unit would be spared."""
WORKER_ENVIRONMENT = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLOSC_NTHREADS"), "1"),
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}
"""Keeps libraries from starting a thread a core in each worker, and from reserving address space they do not use."""


def main(descriptor: int, memory: int) -> None:
    """Serve jobs until the other side closes the connection.

    Args:
        descriptor: of a socket.
        memory: bytes of address space; a crash dump is never written.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # macOS takes no limit of address space
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    connection = Connection(descriptor)
    jobs: SimpleQueue[tuple[Work, Job]] = SimpleQueue()
    threading.Thread(target=_receive, args=(connection, jobs), daemon=True).start()
    while True:
        _run(*jobs.get(), connection)


def _receive(connection: Connection, jobs: SimpleQueue[Any]) -> None:
    """Pass jobs on; end the process when the caller is gone, in the middle of a decoder if need be."""
    while True:
        try:
            jobs.put(connection.recv())
        except (EOFError, OSError):
            os._exit(0)
        except BaseException:
            os._exit(3)


def _run(work: Work, job: Job, connection: Connection) -> None:
    from lvm_med_monai.slices.work.part_extraction import Events, StalePlanError

    report = _Report(connection)
    try:
        work(job, Events(report.unit, report.slice))
    except StalePlanError as error:
        report.send("fatal", "stale", str(error))
    except Exception as error:
        if isinstance(error, OSError) and error.errno in DISK_FAULTS:
            report.send("fatal", "disk", os.strerror(error.errno or 0))
        elif isinstance(error, ImportError):
            library = (error.name or "a library").partition(".")[0]
            report.send("fatal", "import", f"{library} cannot be imported; install it, or raise --memory-limit")
        else:
            report.send("failed", report.number, *failure(error))
        if isinstance(error, MemoryError):
            os._exit(0)  # memory may be in pieces, and libraries in a state that nobody has tested
    else:
        report.send("done")


def failure(error: BaseException) -> tuple[Reason, str]:
    """Reason and detail of a unit that raised; the text of the error may quote the file and is left out."""
    if isinstance(error, MemoryError):
        return "memory", "reading it needs more memory than the limit; raise --memory-limit"
    return "crashed", f"reading it failed in a way that was not foreseen ({type(error).__name__}); please report it"


class _Report:
    """Sends answers, slices in bundles."""

    def __init__(self, connection: Connection) -> None:
        self.number = -1
        self._connection = connection
        self._slices = 0
        self._last = time.monotonic()

    def send(self, *answer: Any) -> None:
        if self._slices:
            slices, self._slices = self._slices, 0
            self.send("slices", slices)
        self._connection.send_bytes(json.dumps(answer).encode())

    def unit(self, number: int) -> None:
        self.number = number
        self.send("unit", number)

    def slice(self) -> None:
        self._slices += 1
        if time.monotonic() - self._last > REPORT_SECONDS:
            self._last = time.monotonic()
            slices, self._slices = self._slices, 0
            self.send("slices", slices)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
