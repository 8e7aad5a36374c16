"""Readers of units that crash, hang or swallow memory at files of a telling name; tests send them to the workers."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from lvm_med_monai.slices.stack import Reject, Stack
from lvm_med_monai.slices.work.part_extraction import open_unit
from lvm_med_monai.slices.work.units import Unit


def faulty(unit: Unit, root: Path, private: Path) -> tuple[list[Path], Iterator[Stack | Reject]]:
    """The usual reader, but for files called segfault, hang, memory or bug."""
    name = unit.files[0].path
    if "segfault" in name:
        os.kill(os.getpid(), signal.SIGSEGV)
    if "hang" in name:
        time.sleep(3600)
    if "memory" in name:
        bytearray(1 << 40)
    if "bug" in name:
        raise KeyError("a value that names CANARY^PATIENT")
    if "disk" in name:
        raise OSError(28, "No space left on device")
    return open_unit(unit, root, private)
