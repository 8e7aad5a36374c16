from __future__ import annotations

import pytest
import torch

from lvm_med_monai.matching import solve


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_backends_agree_where_the_optimum_is_unique(make_problem):
    problem = make_problem(batch=30, nodes=7, k=3)
    best = solve(problem, "reference", generator=generator())
    for backend in ("numba", "torch"):
        found = solve(problem, backend, generator=generator(1))
        torch.testing.assert_close(found.score, best.score, rtol=1e-5, atol=0.0)
        assert torch.equal(found.v, best.v)


def test_the_second_solve_of_imle_is_found_too(make_problem):
    """A slope towards the identity, as large as the affinities: few basins look like the optimum."""
    problem = make_problem(batch=20, nodes=7, k=3)
    for slope in (0.1, 1.0, 10.0):
        problem.c_v.diagonal(dim1=1, dim2=2).add_(slope)
        torch.testing.assert_close(solve(problem, "numba").score, solve(problem, "reference").score)


@pytest.mark.slow
@pytest.mark.parametrize(("nodes", "batch"), [(32, 16), (64, 4)])
def test_larger_graphs_come_within_half_a_percent_of_a_long_search(make_problem, nodes, batch):
    problem = make_problem(batch=batch, nodes=nodes, k=5, features=128)
    found = solve(problem, "numba", generator=generator(1)).score
    best = torch.maximum(found, solve(problem, "numba", effort=6, generator=generator(2)).score)
    best = torch.maximum(best, solve(problem, "torch", starts=8, generator=generator(3)).score)
    assert (((best - found) / best) <= 0.005).double().mean() >= 0.97
    identity = problem.score(torch.arange(nodes).expand(batch, -1))
    assert (found >= identity - 1e-9).all()
