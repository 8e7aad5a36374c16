from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lvm_med_monai.matching import MatchingProblem, solve
from lvm_med_monai.matching.qap.budget import moves, random_starts
from lvm_med_monai.matching.qap.tabu import tabu_search


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def search(problem: MatchingProblem, starts: int = 2, effort: float = 1.0, seed: int = 0) -> torch.Tensor:
    batch, nodes, _ = problem.c_v.shape
    return tabu_search(problem, random_starts(batch, starts, nodes, generator(seed)), moves(nodes, effort))


def test_the_budget_grows_with_nodes_and_effort():
    assert [moves(n, 1.0) for n in (1, 8, 16, 24, 32, 64)] == [3, 24, 48, 108, 192, 384]
    assert moves(16, 2.0) == 96
    assert moves(2, 1e-6) == 1


def test_starts_are_permutations_from_the_generator():
    starts = random_starts(3, 4, 7, generator(1))
    assert torch.equal(starts.sort(dim=2).values, torch.arange(7).expand(3, 4, -1))
    assert torch.equal(starts, random_starts(3, 4, 7, generator(1)))
    assert not torch.equal(starts, random_starts(3, 4, 7, generator(2)))


@pytest.mark.parametrize("threads", [2, 5])
def test_threads_do_not_change_the_solution(make_problem, threads):
    problem = make_problem(batch=7, nodes=12, k=4, vertex_noise=1.0)
    alone = search(problem, effort=0.1)
    torch.set_num_threads(threads)  # the fixture of conftest.py restores it
    assert torch.equal(search(problem, effort=0.1), alone)


def test_the_rest_of_the_batch_does_not_change_a_solution(make_problem):
    problem = make_problem(batch=6, nodes=12, k=4, vertex_noise=1.0)
    starts = random_starts(6, 2, 12, generator())
    part = torch.tensor([4, 1])
    assert torch.equal(tabu_search(problem.select(part), starts[part], 5), tabu_search(problem, starts, 5)[part])


def test_the_best_start_wins(make_problem):
    problem = make_problem(batch=20, nodes=10, k=3, vertex_noise=1.0)
    starts = random_starts(20, 4, 10, generator())
    # tenures depend on the number of the start, but without moves beyond the descent only the start matters
    alone = torch.stack([problem.score(tabu_search(problem, starts[:, s : s + 1], 1)) for s in range(4)])
    together = problem.score(tabu_search(problem, starts, 1))
    torch.testing.assert_close(together, alone.amax(dim=0))
    assert (alone.amin(dim=0) < together - 1e-9).any()


def test_no_start_ends_below_itself(make_problem):
    problem = make_problem(batch=10, nodes=9, k=3)
    starts = random_starts(10, 1, 9, generator())
    assert (problem.score(tabu_search(problem, starts, 1)) >= problem.score(starts[:, 0]) - 1e-9).all()


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_the_scale_of_the_affinities_does_not_matter(make_problem, scale):
    problem = make_problem(batch=6, nodes=10, k=3, vertex_noise=1.0)
    scaled = replace(problem, c_v=problem.c_v * scale, edge_weight=problem.edge_weight * scale)
    assert torch.equal(search(problem), search(scaled))


@pytest.mark.parametrize("nodes", [1, 2, 3])
def test_a_handful_of_nodes(nodes):
    """Fewer exchanges than tabu moves: the search waits."""
    edges = torch.tensor([[[0, 1]]]) if nodes > 1 else torch.full((1, 1, 2), -1)
    c_v = torch.randn(1, nodes, nodes, generator=generator())
    problem = MatchingProblem(c_v, edges, edges, torch.ones(1, 1, 1))
    best = solve(problem, "reference").score
    torch.testing.assert_close(problem.score(search(problem)), best)


def test_edges_that_do_not_exist_are_never_paid(make_problem):
    """Affinities of padding are arbitrary, even infinite."""
    problem = make_problem(batch=5, nodes=6, k=2)
    pad = torch.nn.functional.pad
    padded = replace(
        problem,
        edges_s=pad(problem.edges_s, (0, 0, 2, 1), value=-1),
        edges_t=pad(problem.edges_t, (0, 0, 0, 3), value=-1),
        c_e=pad(problem.edge_affinities(), (0, 3, 2, 1), value=1e9),
        d_s=None,
        d_t=None,
        edge_weight=1.0,
    )
    assert torch.equal(search(problem), search(padded))


def test_first_order_problems_are_refused():
    with pytest.raises(ValueError, match="first-order"):
        tabu_search(MatchingProblem(torch.zeros(1, 3, 3)), random_starts(1, 1, 3, None), 1)


@pytest.mark.parametrize("noise", [0.0, 0.1, 0.2])
def test_shuffled_nodes_change_neither_score_nor_accuracy(make_problem, noise):
    """No leak of the identity: hiding it behind a permutation of the targets changes nothing."""
    problem = make_problem(batch=40, nodes=16, k=5, features=128, vertex_noise=noise)
    order = torch.randperm(16, generator=generator(5))
    hidden = replace(problem, c_v=problem.c_v[:, :, order], edges_t=order.argsort()[problem.edges_t])
    plain, shuffled = (solve(p, "numba", generator=generator(s)) for s, p in enumerate((problem, hidden)))
    torch.testing.assert_close(plain.score, shuffled.score, rtol=1e-5, atol=0.0)
    # unique optima: also the same permutation
    assert torch.equal(order[shuffled.v], plain.v)


def test_unrelated_views_match_at_random(make_problem):
    problem = make_problem(batch=200, nodes=8, k=3, view_noise=1e6)
    v = solve(problem, "numba", generator=generator()).v
    fixed_points = (v == torch.arange(8)).sum(dim=1).double()
    assert abs(fixed_points.mean() - 1) < 3 / 200**0.5
