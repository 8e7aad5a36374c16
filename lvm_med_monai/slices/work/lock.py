"""Keeps two extractions from working on the same parts at the same time."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

LOCK = ".lock"
"""File in the folder of parts; it is empty and stays."""


@contextmanager
def locked(folder: Path, rank: int = 0, world_size: int = 1) -> Iterator[None]:
    """Hold the lock of a rank; the system lets go of it when the process ends, however it does.

    One process alone excludes all others; a rank of several excludes that rank, and whoever works alone. File systems
    that know no locks are used without.

    Args:
        folder: existing folder.
        rank: number of this process.
        world_size: processes that share the work.

    Raises:
        ValueError: another process holds the lock.
    """
    with ExitStack() as stack:
        stack.enter_context(_flock(folder / LOCK, fcntl.LOCK_EX if world_size == 1 else fcntl.LOCK_SH))
        if world_size > 1:
            stack.enter_context(_flock(folder / f"{LOCK}-{rank}", fcntl.LOCK_EX))
        yield


@contextmanager
def _flock(path: Path, kind: int) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise ValueError(
            f"another extraction is at work in {path.parent.parent}; wait for it, or give each its own --rank"
        ) from error
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
            os.close(descriptor)
            raise
    try:
        yield
    finally:
        os.close(descriptor)
