from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.slow
@pytest.mark.parametrize(
    "interpreter",
    [
        "1",
        pytest.param("0", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")),
    ],
    ids=["interpreter", "device"],
)
def test_kernel_cases(interpreter):
    """In a process of its own: Triton decides when it is imported whether it interprets."""
    pytest.importorskip("triton")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/matching/lap/kernel_cases.py"],
        cwd=ROOT,
        env=os.environ | {"TRITON_INTERPRET": interpreter, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
