"""Bundles run as their users run them, ``python -m monai.bundle run``, without importing MONAI anew each time.

A server process imports MONAI once and forks for every run, so each has a process, a working folder and arguments of
its own, as on a command line, but starts in milliseconds.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
from pathlib import Path

PRELOADED = ["monai.bundle", "lvm_med_monai.handlers", "lvm_med_monai.networks", "lvm_med_monai.transforms"]
LONGEST_S = 300

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(PRELOADED)


def configs(bundle: Path, *names: str) -> list[str]:
    """Paths of configuration files, as MONAI takes them."""
    return [str(bundle / "configs" / name) for name in names]


def arguments_of(bundle: Path, names: list[str], options: dict[str, object]) -> list[str]:
    """Arguments behind ``python -m monai.bundle``."""
    overrides = [part for key, value in options.items() for part in (f"--{key}", str(value))]
    files = ["--config_file", str(configs(bundle, *names)), "--bundle_root", str(bundle)]
    return ["run", *files, "--logging_file", *configs(bundle, "logging.conf"), *overrides]


def run(bundle: Path, names: list[str], options: dict[str, object], folder: Path, launcher: tuple[str, ...] = ()):
    """Run a bundle in a process and folder of its own; return its exit code and all that it said.

    ``launcher`` puts a program such as torchrun's module in front, for which real processes are started.
    """
    arguments = arguments_of(bundle, names, options)
    if launcher:
        command = [*launcher, "-m", "monai.bundle", *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LONGEST_S)
        return done.returncode, done.stdout + done.stderr
    said = Path(folder) / "said.txt"
    process = _context.Process(target=_as_command, args=(arguments, str(folder), str(said)))
    process.start()
    process.join(LONGEST_S)
    if process.exitcode is None:
        process.kill()
        process.join()
    return process.exitcode, said.read_text(encoding="utf-8", errors="replace")


def succeed(*arguments, **options) -> str:
    """`run`, which must exit with 0; returns what was said."""
    code, said = run(*arguments, **options)
    assert code == 0, said[-4000:]
    return said


TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nnodes=1", "--nproc_per_node=2")


def _as_command(arguments: list[str], folder: str, said: str) -> None:
    """What the forked process does: the command line's work, its words in a file."""
    multiprocessing.set_start_method(None, force=True)  # a forked process would pass its own way of starting on
    os.chdir(folder)
    output = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(output, stream)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    sys.argv = ["python -m monai.bundle", *arguments]
    runpy.run_module("monai.bundle", run_name="__main__")
