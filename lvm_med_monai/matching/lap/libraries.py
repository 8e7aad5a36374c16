"""Assignment solvers of CPU libraries, one problem a call."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

import numpy as np
from scipy.optimize import linear_sum_assignment


@cache
def has_lapx() -> bool:
    """Whether lapx >= 0.11 is installed. The package ``lap`` installs a module of the same name without ``lapjvr``."""
    if find_spec("lap") is None:
        return False
    import lap

    return hasattr(lap, "lapjvr")


def solve_with_lapx(cost: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Solve one problem of shape (N, M) with lapx; raises ValueError if it is infeasible."""
    if not has_lapx():
        raise ImportError("the assignment backend 'lapx' needs the package lapx >= 0.11 (pip install lapx), not lap")
    from lap import lapjvr

    rows, columns = lapjvr(cost, extend_cost=True, return_cost=False)
    return rows, columns


def solve_with_scipy(cost: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Solve one problem of shape (N, M) with SciPy; raises ValueError if it is infeasible."""
    return linear_sum_assignment(cost)
