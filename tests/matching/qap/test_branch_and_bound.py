from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from lvm_med_monai.matching import MatchingProblem, solve
from lvm_med_monai.matching.qap.branch_and_bound import _assign, branch_and_bound


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("forbidden", [0.0, 0.3, 0.6])
def test_inner_assignments_are_exact_and_priced(forbidden):
    draw = np.random.default_rng(0)
    verdicts = set()
    for _ in range(60):
        n = draw.integers(1, 12)
        cost = draw.normal(size=(n, n))
        cost[draw.random((n, n)) < forbidden] = np.inf
        try:
            rows, columns = linear_sum_assignment(cost)
            expected = cost[rows, columns].sum()
        except ValueError:
            expected = np.inf
        value, row, column = _assign(cost)
        verdicts.add(np.isinf(expected))
        np.testing.assert_allclose(value, expected, atol=1e-12)
        if np.isfinite(expected):
            assert (cost - row[:, None] - column >= -1e-12).all()
            np.testing.assert_allclose(row.sum() + column.sum(), expected, atol=1e-12)
    assert verdicts == ({False} if forbidden == 0 else {True, False})


@pytest.mark.parametrize(
    "case",
    [
        {"k": 3},
        {"k": 2, "vertex_noise": 0.0},
        {"k": 3, "edge_weight": 1.0, "view_noise": 50.0, "batch": 8},
    ],
    ids=["training recipe", "no noise", "no structure"],
)
def test_equals_enumeration(make_problem, case):
    problem = make_problem(**{"batch": 20, "nodes": 7, **case})
    best = solve(problem, "reference").score
    certificate = branch_and_bound(problem, most_passes=5000)
    assert certificate.certified.all()
    torch.testing.assert_close(certificate.score, best)
    torch.testing.assert_close(problem.score(certificate.v), best)
    assert (certificate.bound >= best - 1e-12).all()
    torch.testing.assert_close(certificate.bound, best, rtol=1e-5, atol=1e-6)


def test_improves_on_any_incumbent(make_problem):
    problem = make_problem(batch=5, nodes=7, k=3)
    worst = torch.stack([torch.randperm(7, generator=generator(s)) for s in range(5)])
    torch.testing.assert_close(branch_and_bound(problem, worst).score, solve(problem, "reference").score)


def test_a_spent_budget_leaves_a_valid_bound(make_problem):
    problem = make_problem(batch=10, nodes=7, k=3, edge_weight=1.0, view_noise=50.0)
    best = solve(problem, "reference").score
    certified = []
    for passes in (1, 3, 10, 1000):
        certificate = branch_and_bound(problem, most_passes=passes)
        assert (certificate.passes <= passes).all()
        assert (certificate.score <= best + 1e-9).all()
        assert (certificate.bound >= best - 1e-9).all()
        assert (certificate.score >= best - 1e-5)[certificate.certified].all()
        certified.append(int(certificate.certified.sum()))
    assert certified[0] < 10
    assert certified[-1] == 10
    with pytest.raises(ValueError, match="no bound"):
        branch_and_bound(problem, most_passes=0)


@pytest.mark.parametrize("nodes", [1, 2])
def test_one_and_two_nodes(nodes):
    edges = torch.tensor([[[0, 1]]]) if nodes > 1 else torch.full((1, 1, 2), -1)
    problem = MatchingProblem(
        torch.randn(1, nodes, nodes, generator=generator()), edges, edges, torch.full((1, 1, 1), 5.0)
    )
    certificate = branch_and_bound(problem)
    assert certificate.certified.all()
    torch.testing.assert_close(certificate.score.float(), solve(problem, "reference").score)


def test_an_empty_batch():
    edges = torch.zeros(0, 1, 2, dtype=torch.int64)
    certificate = branch_and_bound(MatchingProblem(torch.zeros(0, 3, 3), edges, edges, torch.zeros(0, 1, 1)))
    assert certificate.v.shape == (0, 3)
    assert certificate.certified.shape == (0,)


@pytest.mark.parametrize(("n", "m"), [(3, 4), (25, 25)])
def test_sizes_are_checked(n, m):
    with pytest.raises(ValueError, match=f"at most 24 nodes, got .{n}, {m}."):
        branch_and_bound(MatchingProblem(torch.zeros(1, n, m)))


@pytest.mark.parametrize("view_noise", [0.5, 1.5])
@pytest.mark.parametrize("vertex_noise", [0.0, 0.1, 0.2])
def test_the_tabu_search_finds_every_certified_optimum_of_the_training_recipe(make_problem, view_noise, vertex_noise):
    problem = make_problem(batch=15, nodes=16, k=5, features=128, view_noise=view_noise, vertex_noise=vertex_noise)
    found = solve(problem, "numba", generator=generator(1))
    longer = solve(problem, "numba", effort=4, generator=generator(2))
    certificate = branch_and_bound(problem, longer.v, most_passes=300)
    assert certificate.certified.sum() >= 12
    assert (certificate.score >= longer.score - 1e-9).all()
    gap = (certificate.score - found.score) / certificate.score
    assert (gap[certificate.certified] <= 1e-6).all()
    identity = problem.score(torch.arange(16).expand(15, -1))
    assert (found.score >= identity - 1e-9).all()
