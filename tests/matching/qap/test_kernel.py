from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lvm_med_monai.matching.qap.kernel import launch_settings
from lvm_med_monai.matching.qap.resources import NODES, TARGETS, compile_for, resources_of

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.slow
@pytest.mark.parametrize(
    "interpreter",
    ["1", pytest.param("0", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))],
    ids=["interpreter", "device"],
)
def test_kernel_cases(interpreter):
    """In a process of its own: Triton decides when it is imported whether it interprets."""
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/matching/qap/kernel_cases.py"],
        cwd=ROOT,
        env=os.environ | {"TRITON_INTERPRET": interpreter, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_launch_settings():
    assert launch_settings(1) == launch_settings(16) == {"BLOCK": 16, "num_warps": 4}
    assert launch_settings(17) == launch_settings(32) == {"BLOCK": 32, "num_warps": 8, "maxnreg": 160}
    assert launch_settings(32, cuda=False) == {"BLOCK": 32, "num_warps": 8}


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_compiles_for_every_target_without_spills(target):
    for nodes in NODES:
        resources = resources_of(compile_for(target, nodes))
        assert resources.spilled == 0
        assert 0 < resources.registers <= 160
        assert resources.shared <= 4096
