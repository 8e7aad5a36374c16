from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from lvm_med_monai.matching import assign
from lvm_med_monai.matching.lap.prices import optimal_prices
from tests.matching.lap.instances import FAMILIES, batch, check_prices, feasible, forbidden

SHAPES = [(1, 1), (2, 2), (8, 8), (16, 16), (5, 9), (9, 5), (1, 6), (6, 1)]


@pytest.mark.parametrize("backend", ["auto", "reference", "scipy"])
@pytest.mark.parametrize("family", FAMILIES)
def test_prices_certify_the_assignment(backend, family):
    for n, m in SHAPES:
        costs = batch(family, 3, n, m)
        v, u, p = assign(torch.from_numpy(costs), backend, return_duals=True)
        for cost, *solution in zip(costs, v.numpy(), u.numpy(), p.numpy(), strict=True):
            check_prices(cost, *solution, tolerance=1e-14)


def test_prices_with_forbidden_pairs():
    for n, m in SHAPES[2:6]:
        costs = np.stack([cost for cost in forbidden(20, n, m) if feasible(cost)])
        v, u, p = assign(torch.from_numpy(costs), return_duals=True)
        for cost, *solution in zip(costs, v.numpy(), u.numpy(), p.numpy(), strict=True):
            check_prices(cost, *solution, tolerance=1e-14)


def test_prices_by_hand():
    """Row 1 wants column 0 as well; it costs 3 to send it elsewhere, so column 0 is worth that much more."""
    cost = np.array([[1.0, 6.0, 9.0], [2.0, 5.0, 9.0]])
    u, p = optimal_prices(cost, np.array([0, 1]), np.array([0, 1]))
    assert p.tolist() == [-3.0, 0.0, 0.0]
    assert u.tolist() == [4.0, 5.0]


def test_no_prices_certify_what_is_not_optimal():
    cost = np.array([[0.0, 1.0], [1.0, 0.0]])
    wrong = np.array([1, 0])
    u, p = optimal_prices(cost, np.arange(2), wrong)
    with pytest.raises(AssertionError):
        check_prices(cost, wrong, u, p, tolerance=1e-14)


@given(n=st.integers(1, 6), m=st.integers(1, 6), values=st.lists(st.integers(-3, 3), min_size=36, max_size=36))
@settings(max_examples=80, deadline=None)
def test_integer_costs_have_exact_integer_prices(n, m, values):
    cost = np.array(values[: n * m], dtype=float).reshape(n, m)
    v, u, p = (x[0].numpy() for x in assign(torch.from_numpy(cost[None]), return_duals=True))
    check_prices(cost, v, u, p, tolerance=0)
    assert (u == u.round()).all()
    assert (p == p.round()).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_prices_are_of_the_dtype_of_the_arithmetic(dtype):
    _, u, p = assign(torch.rand(2, 3, 4).to(dtype), return_duals=True)
    assert u.dtype == p.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
