from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from lvm_med_monai.matching import assign
from lvm_med_monai.matching.lap import libraries
from tests.matching.lap.instances import FAMILIES, batch, check, feasible, forbidden

BACKENDS = ["auto", "reference", "scipy"] + ["lapx"] * libraries.has_lapx()
SHAPES = [(1, 1), (2, 2), (7, 7), (16, 16), (5, 9), (9, 5), (1, 6), (6, 1)]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_costs_equal_scipy(backend, family):
    for n, m in SHAPES:
        costs = batch(family, 6, n, m)
        for cost, v in zip(costs, assign(torch.from_numpy(costs), backend).numpy(), strict=True):
            check(cost, v)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", [(64, 64), (40, 64), (64, 40)])
def test_larger_problems(backend, shape):
    for family in ("uniform", "gumbel", "integers with ties"):
        (cost,) = batch(family, 1, *shape)
        check(cost, assign(torch.from_numpy(cost[None]), backend)[0].numpy())


def test_the_checker_rejects_what_is_not_optimal():
    for cost in batch("normal", 20, 6, 6):
        v = assign(torch.from_numpy(cost[None]))[0].numpy()
        worse, repeated = v.copy(), v.copy()
        worse[[0, 1]] = v[[1, 0]]
        repeated[0] = v[1]
        for wrong in (worse, repeated, np.where(v == 0, -1, v)):
            with pytest.raises(AssertionError):
                check(cost, wrong)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("share", [0.4, 0.7])
def test_forbidden_pairs_are_avoided_or_reported(backend, share):
    verdicts = set()
    for n, m in SHAPES[1:]:
        for cost in forbidden(12, n, m, share):
            verdicts.add(feasible(cost))
            if feasible(cost):
                check(cost, assign(torch.from_numpy(cost[None]), backend)[0].numpy())
            else:
                with pytest.raises(ValueError, match="problem 0 of the batch"):
                    assign(torch.from_numpy(cost[None]), backend)
    assert verdicts == {True, False}, "the trials must hold both kinds"


@given(
    n=st.integers(1, 6),
    m=st.integers(1, 6),
    values=st.lists(st.integers(-3, 3), min_size=36, max_size=36),
    banned=st.lists(st.booleans(), min_size=36, max_size=36),
)
@settings(max_examples=80, deadline=None)
def test_reference_agrees_with_scipy_on_tied_and_forbidden_costs(n, m, values, banned):
    cost = np.array(values[: n * m], dtype=float).reshape(n, m)
    cost[np.array(banned[: n * m]).reshape(n, m) & (cost > 0)] = np.inf
    if feasible(cost):
        check(cost, assign(torch.from_numpy(cost[None]), "reference")[0].numpy())
    else:
        with pytest.raises(ValueError, match="problem 0"):
            assign(torch.from_numpy(cost[None]), "reference")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_every_floating_dtype(dtype):
    cost = torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(0)).to(dtype)
    for c, v in zip(cost.double().numpy(), assign(cost).numpy(), strict=True):
        check(c, v)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", [(0, 3, 3), (2, 0, 3), (2, 3, 0)])
def test_empty_problems(backend, shape):
    v, u, p = assign(torch.zeros(shape), backend, return_duals=True)
    assert v.shape == u.shape == shape[:2]
    assert p.shape == shape[::2]
    assert v.dtype == torch.int64
    assert (v == -1).all()
    assert not u.any()
    assert not p.any()


def test_views_of_other_memory_orders():
    cost = torch.rand(2, 5, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = assign(cost)
    assert torch.equal(assign(cost.transpose(1, 2).contiguous().transpose(1, 2)), expected)
    assert torch.equal(assign(cost.repeat(2, 1, 1)[::2]), expected[[0, 0]])


def test_gradients_do_not_flow():
    outputs = assign(torch.zeros(1, 2, 2, requires_grad=True), return_duals=True)
    assert not any(output.requires_grad for output in outputs)


@pytest.mark.parametrize(
    ("cost", "backend", "message"),
    [
        (torch.zeros(3, 3), "auto", r"shape \(B, N, M\), got torch.float32 \(3, 3\)"),
        (torch.zeros(1, 3, 3, dtype=torch.int64), "auto", "cost must be floating"),
        (torch.full((1, 2, 2), torch.nan), "auto", r"cost of shape \(1, 2, 2\) holds NaN or -inf"),
        (torch.full((1, 2, 2), -torch.inf), "auto", "holds NaN or -inf"),
        (torch.zeros(1, 2, 2), "cuda", "must be one of auto, reference, scipy, lapx, triton, got 'cuda'"),
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


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("transposed", [False, True])
def test_without_checks_the_answer_says_what_has_none(backend, transposed):
    cost = torch.rand(4, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    cost[1, :2, :3] = cost[1, :2, 3:] = torch.inf
    cost[2, 0, :3] = torch.nan
    cost[3, 0, 1:] = -torch.inf
    if transposed:
        cost = cost.transpose(1, 2)
    v, u, p = assign(cost, backend, check=False, return_duals=True)
    assert torch.equal(assign(cost, backend, check=False), v)
    assert (v[1] == -1).all()
    assert u[1].isnan().all()
    assert p[1].isnan().all()
    for index in (0, 2, 3):
        as_forbidden = torch.where(cost[index] > -torch.inf, cost[index], torch.inf).numpy()
        check(as_forbidden, v[index].numpy())
        assert u[index].isfinite().all()
        assert p[index].isfinite().all()


def test_lapx_asked_for_but_absent_is_an_error(monkeypatch):
    monkeypatch.setattr(libraries, "has_lapx", lambda: False)
    with pytest.raises(ImportError, match="needs the package lapx"):
        assign(torch.zeros(1, 2, 2), "lapx")
    assert assign(torch.eye(2)[None], "auto").tolist() == [[1, 0]]
