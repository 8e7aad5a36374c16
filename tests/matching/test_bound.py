from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lvm_med_monai.matching import MatchingProblem, assign, bound as bound_module, solve
from lvm_med_monai.matching.bound import dual_bound

ROUNDING = 1e-9


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def optimum(problem: MatchingProblem) -> torch.Tensor:
    return solve(problem, "reference", generator=generator()).score


def with_matrix(problem: MatchingProblem) -> MatchingProblem:
    return replace(problem, c_e=problem.edge_affinities(), d_s=None, d_t=None, edge_weight=1.0)


@pytest.mark.parametrize("edge_weight", [0.2, 1.0, 3.0])
@pytest.mark.parametrize("vertex_noise", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("nodes", [4, 5, 6])
def test_no_assignment_scores_more(make_problem, nodes, vertex_noise, edge_weight):
    """450 enumerated problems."""
    problem = make_problem(batch=16, nodes=nodes, vertex_noise=vertex_noise, edge_weight=edge_weight, seed=nodes)
    best = optimum(problem)
    for iterations in (0, 1, 20):
        assert (dual_bound(problem, iterations) >= best - ROUNDING).all()


def test_no_assignment_of_seven_nodes_scores_more(make_problem):
    problem = make_problem(batch=6, nodes=7, k=3, edge_weight=0.5)
    gap = dual_bound(problem) - optimum(problem)
    assert (gap >= -ROUNDING).all()


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_random_edge_affinities_of_both_signs(make_problem, sign):
    problem = with_matrix(make_problem(batch=40, nodes=5))
    problem = replace(problem, c_e=sign * torch.rand(problem.c_e.shape, generator=generator(), dtype=torch.float64))
    assert (dual_bound(problem, 20) >= optimum(problem) - ROUNDING).all()


def test_matrix_and_factors_give_the_same_bound(make_problem):
    problem = make_problem(batch=8)
    torch.testing.assert_close(dual_bound(with_matrix(problem), 10), dual_bound(problem, 10))


def test_padded_edges_change_nothing(make_problem):
    problem = make_problem(batch=8)
    pad = torch.nn.functional.pad
    padded = MatchingProblem(
        problem.c_v,
        pad(problem.edges_s, (0, 0, 1, 2), value=-1),
        pad(problem.edges_t, (0, 0, 0, 1), value=-1),
        pad(problem.edge_affinities(), (0, 1, 1, 2), value=50.0),
    )
    torch.testing.assert_close(dual_bound(padded, 10), dual_bound(problem, 10))


@pytest.mark.parametrize("shape", [(4, 6), (6, 4)], ids=["more targets", "more sources"])
def test_rectangular_problems(make_problem, shape):
    n, m = shape
    problem = make_problem(batch=20, nodes=6)

    def inside(edges, nodes):
        return torch.where((edges < nodes).all(dim=2, keepdim=True), edges, -1)

    problem = replace(
        with_matrix(problem),
        c_v=problem.c_v[:, :n, :m],
        edges_s=inside(problem.edges_s, n),
        edges_t=inside(problem.edges_t, m),
    )
    assert (dual_bound(problem) >= optimum(problem) - ROUNDING).all()


def test_the_bound_never_rises(make_problem):
    problem = make_problem(batch=6, nodes=10, k=3, edge_weight=1.0)
    bounds = torch.stack([dual_bound(problem, iterations) for iterations in range(12)])
    assert (bounds.diff(dim=0) <= 0).all()
    assert (bounds[-1] < bounds[0]).all()


@pytest.mark.parametrize("shape", [(5, 7, 7), (5, 4, 7), (5, 7, 4)], ids=str)
def test_first_order_bound_is_the_best_assignment(shape):
    c_v = torch.randn(shape, generator=generator(), dtype=torch.float64)
    v = assign(-c_v)
    value = torch.where(v >= 0, c_v.gather(2, v.clamp(min=0).unsqueeze(2)).squeeze(2), 0.0).sum(dim=1)
    torch.testing.assert_close(dual_bound(MatchingProblem(c_v)), value)


def test_edges_without_weight_leave_the_best_assignment(make_problem):
    problem = make_problem(edge_weight=0.0)
    torch.testing.assert_close(dual_bound(problem, 3), dual_bound(MatchingProblem(problem.c_v)))


def test_easy_problems_are_certified(make_problem):
    """Nearly equal views: the optimum meets the bound."""
    problem = make_problem(batch=6, nodes=12, k=3, view_noise=0.2, vertex_noise=0.0)
    score = solve(problem, generator=generator()).score
    assert ((dual_bound(problem) - score) / score < 2e-3).all()


def test_relabelling_leaves_the_bound_unchanged(make_problem):
    problem = with_matrix(make_problem(batch=4, nodes=8, k=3))
    order_s, order_t = (torch.randperm(8, generator=generator(seed)) for seed in (1, 2))
    name_s, name_t = order_s.argsort(), order_t.argsort()
    relabelled = replace(
        problem,
        c_v=problem.c_v[:, order_s][:, :, order_t],
        edges_s=name_s[problem.edges_s],
        edges_t=name_t[problem.edges_t],
    )
    torch.testing.assert_close(dual_bound(relabelled, 15), dual_bound(problem, 15))


def test_a_constant_on_the_vertices_moves_the_bound_by_it(make_problem):
    problem = make_problem(batch=4, nodes=8, k=3)
    moved = replace(problem, c_v=problem.c_v + 2.5)
    torch.testing.assert_close(dual_bound(moved, 15), dual_bound(problem, 15) + 2.5 * 8)


def test_parts_of_a_batch_give_the_bounds_of_the_whole(make_problem, monkeypatch):
    problem = make_problem(batch=5)
    whole = dual_bound(problem, 5)
    monkeypatch.setattr(bound_module, "LARGEST_TABLE", 2 * problem.edges_s.shape[1] * 36)
    monkeypatch.setattr(bound_module, "PART", 50)
    torch.testing.assert_close(dual_bound(problem, 5), whole)


def test_too_large_a_graph_is_refused(make_problem, monkeypatch):
    problem = make_problem()
    monkeypatch.setattr(bound_module, "LARGEST_TABLE", 100)
    with pytest.raises(ValueError, match="the bound needs 432 numbers for 12 edges and 6 nodes, more than its limit"):
        dual_bound(problem)


def test_an_empty_batch_has_no_bounds():
    assert dual_bound(MatchingProblem(torch.zeros(0, 4, 4))).shape == (0,)
