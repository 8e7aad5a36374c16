"""Kernel cases in a process of their own: Triton decides when it is imported whether it interprets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
interpreters = pytest.mark.parametrize(
    "interpreter",
    ["1", pytest.param("0", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))],
    ids=["interpreter", "device"],
)
"""Runs a test in Triton's interpreter, and on a GPU where there is one."""


def run_cases(cases: str, interpreter: str) -> None:
    """Run the cases of a file below ``tests/matching``; fail with their output."""
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"tests/matching/{cases}"],
        cwd=ROOT,
        env=os.environ | {"TRITON_INTERPRET": interpreter, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
