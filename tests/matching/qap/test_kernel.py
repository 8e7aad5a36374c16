from __future__ import annotations

import pytest

from lvm_med_monai.matching.qap.kernel import launch_settings
from lvm_med_monai.matching.qap.resources import NODES, TARGETS, compile_for, resources_of
from tests.matching.kernel_process import interpreters, run_cases


@pytest.mark.slow
@interpreters
def test_kernel_cases(interpreter):
    run_cases("qap/kernel_cases.py", interpreter)


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
