"""Signals that stop a server."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPPING = (signal.SIGTERM, signal.SIGHUP)
"""What a service manager, and a terminal that is closed, send."""


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """`STOPPING` ends the block by ``SystemExit(0)``, so that what it holds is released.

    A signal that is ignored (``nohup``) stays ignored. SIGHUP becomes SIGTERM, for which uvicorn has a way of its own:
    it finishes the requests that run.
    """
    before = {number: signal.getsignal(number) for number in STOPPING}
    handled = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    for number in handled:
        signal.signal(number, _hang_up if number == signal.SIGHUP else _stop)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, before[number])


def _stop(number: int, frame: FrameType | None) -> None:
    """Only the first one stops: a second would interrupt the removal of files."""
    for stopping in STOPPING:
        signal.signal(stopping, signal.SIG_IGN)
    sys.exit(0)


def _hang_up(number: int, frame: FrameType | None) -> None:
    signal.raise_signal(signal.SIGTERM)
