from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch

from lvm_med_monai.matching import assign
from lvm_med_monai.matching.lap import operator

OPERATORS = [torch.ops.lvm_med_monai.assign.default, torch.ops.lvm_med_monai.assign_with_prices.default]

needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="needs triton")


def costs(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=dtype)


@pytest.mark.parametrize("op", OPERATORS, ids=["v", "prices"])
@pytest.mark.parametrize("shape", [(3, 4, 4), (2, 5, 3), (2, 3, 5), (0, 3, 3)], ids=str)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_opcheck(op, shape, dtype):
    for cost in (costs(*shape, dtype=dtype), costs(*shape, dtype=dtype).requires_grad_()):
        outcome = torch.library.opcheck(op, (cost, "auto", True))
        assert set(outcome.values()) == {"SUCCESS"}


def matched_affinity(affinity: torch.Tensor) -> torch.Tensor:
    """Mean affinity of the pairs of the best assignment."""
    return affinity.gather(2, assign(-affinity).unsqueeze(2)).mean()


def test_compiled_as_one_graph_with_the_gradient_of_the_gather():
    eager, compiled = (costs(3, 6, 6).requires_grad_() for _ in range(2))
    expected = matched_affinity(eager)
    expected.backward()
    actual = torch.compile(matched_affinity, fullgraph=True, backend="aot_eager")(compiled)
    actual.backward()
    torch.testing.assert_close(actual, expected)
    assert torch.equal(eager.grad, compiled.grad)
    assert eager.grad.count_nonzero() == 18


def test_compiled_prices_and_errors():
    def value(cost: torch.Tensor) -> torch.Tensor:
        solution = assign(cost, return_duals=True)
        return solution.u.sum(1) + solution.p.sum(1)

    compiled = torch.compile(value, fullgraph=True, backend="aot_eager")
    cost = costs(2, 4, 6, dtype=torch.float64)
    least = cost.gather(2, assign(cost).unsqueeze(2)).sum((1, 2))
    torch.testing.assert_close(compiled(cost), least)
    with pytest.raises(ValueError, match="holds NaN or -inf"):
        compiled(torch.full_like(cost, torch.nan))


def test_fake_tensors_need_no_values():
    v, u, p = assign(torch.empty(2, 3, 5, dtype=torch.bfloat16, device="meta"), return_duals=True)
    assert (v.shape, u.shape, p.shape) == ((2, 3), (2, 3), (2, 5))
    assert (v.dtype, u.dtype, p.dtype) == (torch.int64, torch.float32, torch.float32)


@needs_triton
def test_triton_refuses_costs_on_a_cpu():
    with pytest.raises(ValueError, match="needs costs on a GPU, got them on cpu"):
        assign(costs(1, 2, 2), "triton")


@needs_triton
def test_triton_refuses_costs_that_it_has_no_registers_for():
    for dtype, most in ((torch.float32, 4096), (torch.float64, 2048)):
        with pytest.raises(ValueError, match=f"up to {most} nodes a side of {dtype}, got {most + 1}"):
            assign(torch.zeros(1, 1, 1, dtype=dtype).expand(1, 2, most + 1), "triton")


def test_triton_asked_for_but_absent_is_an_error(monkeypatch):
    monkeypatch.setattr(operator, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="needs the package triton"):
        assign(costs(1, 2, 2), "triton")
