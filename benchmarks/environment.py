"""Where and how the numbers of a benchmark came about."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from collections.abc import Iterable
from importlib import metadata

import torch


def environment(script: str, packages: Iterable[str], note: str) -> dict[str, object]:
    """Command, device and versions.

    Args:
        script: file name of the benchmark.
        packages: whose versions matter.
        note: what a reader should know of the machine.
    """
    versions = {"python": platform.python_version()}
    for name in packages:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "command": shlex.join(["python", f"benchmarks/{script}", *sys.argv[1:]]),
        "device": f"{platform.machine()} CPU, {os.cpu_count()} cores, {torch.get_num_threads()} thread",
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "not run on a GPU",
        "note": note,
        "versions": versions,
    }
