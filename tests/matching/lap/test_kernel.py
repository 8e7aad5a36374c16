from __future__ import annotations

import pytest

from tests.matching.kernel_process import interpreters, run_cases


@pytest.mark.slow
@interpreters
def test_kernel_cases(interpreter):
    pytest.importorskip("triton")
    run_cases("lap/kernel_cases.py", interpreter)
