from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from scipy.optimize import linear_sum_assignment

from lvm_med_monai.matching import assign
from lvm_med_monai.matching.lap import libraries

BACKENDS = ["auto", "reference", "scipy"] + ["lapx"] * libraries.has_lapx()

KINDS = {
    "uniform": lambda r, n, m: r.random((n, m)),
    "normal": lambda r, n, m: r.normal(size=(n, m)),
    "integers with ties": lambda r, n, m: r.integers(0, 4, (n, m)).astype(float),
    "all equal": lambda r, n, m: np.full((n, m), 3.0),
    "zero or minus one": lambda r, n, m: -r.integers(0, 2, (n, m)).astype(float),
    "large": lambda r, n, m: 1e6 * r.normal(size=(n, m)),
    "large offset, small differences": lambda r, n, m: 1000 + 1e-3 * r.random((n, m)),
    "twelve decades": lambda r, n, m: 10.0 ** r.uniform(-6, 6, (n, m)),
    "rank two": lambda r, n, m: r.normal(size=(n, 2)) @ r.normal(size=(2, m)),
    "product": lambda r, n, m: np.outer(1.0 + np.arange(n), 1.0 + np.arange(m)),
    "gumbel": lambda r, n, m: r.gumbel(size=(n, m)),
}
SHAPES = [(1, 1), (2, 2), (7, 7), (16, 16), (5, 9), (9, 5), (1, 6), (6, 1)]


def total(cost: np.ndarray, v: np.ndarray) -> float:
    rows = np.flatnonzero(v >= 0)
    return float(cost[rows, v[rows]].sum())


def check(cost: np.ndarray, v: np.ndarray) -> None:
    """``v`` is injective, complete, and as cheap as SciPy's assignment."""
    used = v[v >= 0]
    assert len(used) == min(cost.shape)
    assert len(set(used.tolist())) == len(used)
    best = cost[linear_sum_assignment(cost)].sum()
    assert total(cost, v) == pytest.approx(best, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
def test_costs_equal_scipy(backend, kind):
    rng = np.random.default_rng(0)
    for n, m in SHAPES:
        costs = np.stack([KINDS[kind](rng, n, m) for _ in range(6)])
        for cost, v in zip(costs, assign(torch.from_numpy(costs), backend).numpy(), strict=True):
            check(cost, v)


@pytest.mark.parametrize("backend", BACKENDS)
def test_forbidden_pairs_are_avoided_or_reported(backend):
    rng = np.random.default_rng(1)
    feasible = 0
    for trial in range(120):
        n, m = SHAPES[1 + trial % 7]
        cost = rng.normal(size=(n, m))
        cost[rng.random((n, m)) < (0.5, 0.8)[trial % 2]] = np.inf
        try:
            linear_sum_assignment(cost)
        except ValueError:
            with pytest.raises(ValueError, match="problem 0 of the batch"):
                assign(torch.from_numpy(cost[None]), backend)
        else:
            feasible += 1
            check(cost, assign(torch.from_numpy(cost[None]), backend)[0].numpy())
    assert 20 < feasible < 100, "the trials must hold both kinds"


@given(
    n=st.integers(1, 6),
    m=st.integers(1, 6),
    values=st.lists(st.integers(-3, 3), min_size=36, max_size=36),
    forbidden=st.lists(st.booleans(), min_size=36, max_size=36),
)
@settings(max_examples=80, deadline=None)
def test_reference_agrees_with_scipy_on_tied_and_forbidden_costs(n, m, values, forbidden):
    cost = np.array(values[: n * m], dtype=float).reshape(n, m)
    cost[np.array(forbidden[: n * m]).reshape(n, m) & (cost > 0)] = np.inf
    try:
        linear_sum_assignment(cost)
    except ValueError:
        with pytest.raises(ValueError, match="problem 0"):
            assign(torch.from_numpy(cost[None]), "reference")
    else:
        check(cost, assign(torch.from_numpy(cost[None]), "reference")[0].numpy())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_every_floating_dtype(dtype):
    cost = torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(0)).to(dtype)
    for c, v in zip(cost.double().numpy(), assign(cost).numpy(), strict=True):
        check(c, v)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", [(0, 3, 3), (2, 0, 3), (2, 3, 0)])
def test_empty_problems(backend, shape):
    v = assign(torch.zeros(shape), backend)
    assert v.shape == shape[:2]
    assert v.dtype == torch.int64
    assert (v == -1).all()


def test_gradients_do_not_flow():
    assert not assign(torch.zeros(1, 2, 2, requires_grad=True)).requires_grad


@pytest.mark.parametrize(
    ("cost", "backend", "message"),
    [
        (torch.zeros(3, 3), "auto", r"shape \(B, N, M\), got torch.float32 \(3, 3\)"),
        (torch.zeros(1, 3, 3, dtype=torch.int64), "auto", "cost must be floating"),
        (torch.full((1, 2, 2), torch.nan), "auto", r"cost of shape \(1, 2, 2\) holds NaN or -inf"),
        (torch.full((1, 2, 2), -torch.inf), "auto", "holds NaN or -inf"),
        (torch.zeros(1, 2, 2), "cuda", "must be one of auto, reference, scipy, lapx, got 'cuda'"),
    ],
    ids=["rank", "dtype", "nan", "-inf", "backend"],
)
def test_bad_input_is_refused(cost, backend, message):
    with pytest.raises(ValueError, match=message):
        assign(cost, backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_infeasible_problem_is_named(backend):
    cost = torch.zeros(3, 2, 2)
    cost[1, 0] = torch.inf
    with pytest.raises(ValueError, match="problem 1 of the batch has no assignment"):
        assign(cost, backend)


def test_lapx_asked_for_but_absent_is_an_error(monkeypatch):
    monkeypatch.setattr(libraries, "has_lapx", lambda: False)
    with pytest.raises(ImportError, match="needs the package lapx"):
        assign(torch.zeros(1, 2, 2), "lapx")
    assert assign(torch.eye(2)[None], "auto").tolist() == [[1, 0]]
