from __future__ import annotations

import torch

from lvm_med_monai.matching import assign, sinkhorn_plan


def affinities(seed: int = 0) -> torch.Tensor:
    return torch.rand(3, 6, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_plan_is_doubly_stochastic():
    plan = sinkhorn_plan(affinities(), 0.5, iterations=200)
    for dim in (1, 2):
        torch.testing.assert_close(plan.sum(dim=dim), torch.ones(3, 6, dtype=torch.float64))


def test_plan_has_the_form_of_the_entropic_optimum():
    """Optimality: log P = c / t plus a term of the row plus a term of the column, so double differences agree."""
    c, temperature = affinities(), 0.3
    residual = sinkhorn_plan(c, temperature, 50).log() - c / temperature
    double = residual[:, 1:, 1:] - residual[:, :1, 1:] - residual[:, 1:, :1] + residual[:, :1, :1]
    assert double.abs().max() < 1e-9


def test_cold_plans_are_the_assignment():
    c = affinities()
    assert torch.equal(sinkhorn_plan(c, 1e-3, iterations=2000).argmax(dim=2), assign(-c))


def test_tiny_temperatures_do_not_overflow():
    plan = sinkhorn_plan(affinities(), 1e-9)
    torch.testing.assert_close(plan.sum(dim=1), torch.ones(3, 6, dtype=torch.float64))
