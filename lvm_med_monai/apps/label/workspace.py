"""The folder that a server works in: its own while it runs, and gone afterwards unless it is to be kept."""

from __future__ import annotations

import errno
import fcntl
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = "in_use.lock"
"""File of a kept workspace that a running server holds; a crash lets go of it."""
RECEIVED = "received"
"""Folder of a workspace for what is needed while one request is answered."""
LONGEST_SECONDS = 3600.0
"""Files in `RECEIVED` that are older belong to no request any more."""
_ATTEMPTS = 10
_PAUSE_SECONDS = 0.2


@contextmanager
def workspace(kept: Path | None) -> Iterator[Path]:
    """A folder for one server, readable by its owner alone.

    Args:
        kept: folder that is made if it does not exist and stays; None for a temporary one.

    Yields:
        Its absolute path.

    Raises:
        OSError: another server uses ``kept``, or a temporary folder cannot be removed.
    """
    if kept is None:
        folder = Path(tempfile.mkdtemp(prefix="monailabel-")).resolve()
        try:
            yield folder
        finally:
            _remove(folder)
        return
    kept.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (kept / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OSError(f"another server uses the workspace {kept}: stop it, or give another --workspace") from error
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):  # file systems that know no locks
                raise
        yield kept.resolve()


def remove_older(folder: Path, seconds: float = LONGEST_SECONDS) -> None:
    """Remove temporary files (not folders) that were last changed longer ago than ``seconds``."""
    for path in folder.glob("tmp*"):
        try:
            if path.is_file() and time.time() - path.stat().st_mtime > seconds:
                path.unlink()
        except FileNotFoundError:
            continue


def _remove(folder: Path) -> None:
    """Remove a folder in which a thread may write its last file at the same time."""
    for left in reversed(range(_ATTEMPTS)):
        try:
            shutil.rmtree(folder)
            return
        except FileNotFoundError:
            if not folder.exists():
                return
        except OSError as error:
            if not left:
                raise OSError(
                    f"{folder} cannot be removed ({error.strerror}): it may hold images, so remove it by hand"
                ) from error
        time.sleep(_PAUSE_SECONDS)
