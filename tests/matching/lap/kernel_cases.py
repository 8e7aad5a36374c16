"""What the Triton kernel must do. ``test_kernel.py`` runs it in Triton's interpreter and on a GPU, if there is one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lvm_med_monai.matching import assign
from lvm_med_monai.matching.lap.launch import interpreted, launch
from tests.matching.lap.instances import FAMILIES, batch, check, check_prices, feasible, forbidden

DEVICE = "cpu" if interpreted() else "cuda"
SHAPES = [(1, 1), (4, 4), (7, 7), (5, 9), (9, 5)]
POISON = -77
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy, of inf - inf in masked lanes


def solve(costs: np.ndarray, dtype: torch.dtype, both: bool = True) -> tuple[np.ndarray, ...]:
    """Launch on poisoned outputs with guards behind them; the costs as the kernel saw them, v, u and p.

    If ``both``, a launch without prices must give the same assignment.
    """
    cost = torch.from_numpy(costs).to(DEVICE, dtype)
    count, n, m = cost.shape
    real = torch.float64 if dtype == torch.float64 else torch.float32
    sizes = ((count, n, torch.int64), (count, n, real), (count, m, real))
    buffers = [torch.full((rows + 1, size), POISON, dtype=kind, device=DEVICE) for rows, size, kind in sizes]
    launch(cost, *(buffer[:-1] for buffer in buffers))
    if both:
        bare = torch.full_like(buffers[0], POISON)
        launch(cost, bare[:-1])
        assert torch.equal(bare, buffers[0])
    assert all((buffer[-1] == POISON).all() for buffer in buffers), "written behind the outputs"
    assert not any((buffer[:-1] == POISON).any() for buffer in buffers), "left unwritten"
    return cost.double().cpu().numpy(), *(buffer[:-1].double().cpu().numpy() for buffer in buffers)


def solve_and_check(costs: np.ndarray, dtype: torch.dtype, both: bool = True) -> None:
    tolerance = 1e-14 if dtype == torch.float64 else 4e-7
    for cost, v, u, p in zip(*solve(costs, dtype, both), strict=True):
        if feasible(cost):
            check(cost, v.astype(int))
            check_prices(cost, v.astype(int), u, p, tolerance)
        else:
            assert (v == -1).all()
            assert np.isnan(u).all()
            assert np.isnan(p).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_optimal_in_float32(family):
    for n, m in SHAPES:
        solve_and_check(batch(family, 2, n, m), torch.float32, both=False)


@pytest.mark.parametrize("family", FAMILIES)
def test_optimal_in_float64(family):
    for n, m in ((6, 6), (4, 7)):
        solve_and_check(batch(family, 1, n, m), torch.float64)


@pytest.mark.parametrize("family", FAMILIES)
def test_hundreds_of_tiny_problems_in_float64(family):
    """With the other cases above a thousand: every way to tie, to augment and to stay free that few nodes allow."""
    for n, m in ((2, 2), (3, 3), (2, 4), (4, 2)):
        solve_and_check(batch(family, 16, n, m, seed=1), torch.float64, both=False)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_costs_are_added_in_float32(dtype):
    solve_and_check(batch("normal", 2, 6, 8), dtype)


@pytest.mark.parametrize("shape", [(12, 12), (7, 13), (13, 7), (1, 6), (6, 1)], ids=str)
def test_odd_shapes(shape):
    solve_and_check(batch("uniform", 2, *shape), torch.float32)


def test_forbidden_pairs_get_the_verdict_of_scipy():
    verdicts = set()
    for n, m in ((4, 4), (5, 5), (3, 5), (5, 3)):
        costs = forbidden(12, n, m)
        verdicts |= {feasible(cost) for cost in costs}
        solve_and_check(costs, torch.float32, both=False)
    assert verdicts == {True, False}


def test_a_hundred_and_twenty_eight_nodes():
    solve_and_check(batch("gumbel", 1, 128, 128), torch.float32, both=False)


def test_assign_runs_the_kernel():
    cost = torch.from_numpy(batch("normal", 3, 5, 5)).to(DEVICE)
    v, u, p = assign(cost, "triton", return_duals=True)
    assert v.device == u.device == p.device == cost.device
    assert torch.equal(v, assign(cost, "scipy"))
    assert torch.equal(v, assign(cost, "triton", check=False))
    assert torch.equal(v, assign(cost.transpose(1, 2).contiguous().transpose(1, 2), "triton"))
    assert torch.equal(assign(cost.requires_grad_(), "triton"), v)


@pytest.mark.parametrize("shape", [(0, 3, 3), (2, 0, 3), (2, 3, 0)], ids=str)
def test_empty_problems(shape):
    v, u, p = assign(torch.zeros(shape, device=DEVICE), "triton", return_duals=True)
    assert (v.shape, u.shape, p.shape) == (shape[:2], shape[:2], shape[::2])
    assert (v == -1).all()


def test_errors_name_the_problem():
    cost = torch.zeros(3, 2, 2, device=DEVICE)
    cost[1, 0] = torch.inf
    with pytest.raises(ValueError, match="problem 1 of the batch has no assignment"):
        assign(cost, "triton")
    for value in (torch.nan, -torch.inf):
        with pytest.raises(ValueError, match=r"cost of shape \(3, 2, 2\) holds NaN or -inf"):
            assign(torch.where(cost > 0, value, cost), "triton")


@pytest.mark.parametrize("shape", [(3, 3), (2, 3), (3, 2)], ids=str)
def test_without_checks_nan_and_minus_infinity_are_forbidden(shape):
    cost = torch.from_numpy(batch("normal", 4, *shape)).to(DEVICE)
    cost[1, 0, 0], cost[2, 0, 1] = torch.nan, -torch.inf
    cost[3] = torch.nan
    v = assign(cost, "triton", check=False)
    for index in range(3):
        as_forbidden = torch.where(cost[index] > -torch.inf, cost[index], torch.inf).cpu().numpy()
        check(as_forbidden, v[index].cpu().numpy())
    assert (v[3] == -1).all()


@pytest.mark.skipif(DEVICE == "cpu", reason="the interpreter knows no device to wait for")
def test_without_checks_nothing_waits_for_the_device():
    cost = torch.rand(4, 16, 16, device=DEVICE)
    assign(cost, "triton", check=False)  # compiles
    mode = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        assign(cost, check=False)
    finally:
        torch.cuda.set_sync_debug_mode(mode)
