"""What stops a server from outside also lets it clean up."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from lvm_med_monai.apps.label.signals import STOPPING, stopped_by_signals

PROGRAM = """
import signal, sys, time
from lvm_med_monai.apps.label.signals import stopped_by_signals
{before}
with stopped_by_signals():
    try:
        print("ready", flush=True)
        {work}
    finally:
        time.sleep({cleaning})
        print("cleaned", flush=True)
"""


def started(work: str = "time.sleep(30)", before: str = "", cleaning: float = 0) -> subprocess.Popen[str]:
    text = PROGRAM.format(work=work, before=before, cleaning=cleaning)
    program = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    assert program.stdout.readline() == "ready\n"
    return program


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_the_block_is_left_in_order(number: signal.Signals) -> None:
    program = started()
    program.send_signal(number)
    assert program.communicate(timeout=20) == ("cleaned\n", None)
    assert program.returncode == 0


def test_a_second_signal_does_not_interrupt() -> None:
    program = started(cleaning=2)
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGHUP):
        program.send_signal(number)
    assert program.communicate(timeout=20) == ("cleaned\n", None)
    assert program.returncode == 0


def test_what_nohup_ignores_stays_ignored() -> None:
    program = started("time.sleep(2)", before="signal.signal(signal.SIGHUP, signal.SIG_IGN)")
    program.send_signal(signal.SIGHUP)
    assert program.communicate(timeout=20) == ("cleaned\n", None)
    program = started("time.sleep(30)", before="signal.signal(signal.SIGHUP, signal.SIG_IGN)")
    program.send_signal(signal.SIGTERM)
    assert program.communicate(timeout=20) == ("cleaned\n", None)
    assert program.returncode == 0


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in STOPPING]
    with stopped_by_signals():
        assert [signal.getsignal(number) for number in STOPPING] != before
    assert [signal.getsignal(number) for number in STOPPING] == before
