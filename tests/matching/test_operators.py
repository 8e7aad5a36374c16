"""The solvers as operators of torch: contract, keys, and what reaches autograd."""

from __future__ import annotations

import pytest
import torch

from lvm_med_monai.matching import MatchingProblem, imle, solve
from lvm_med_monai.matching.qap.operator import matching
from lvm_med_monai.matching.seeds import generator_of, key_of
from lvm_med_monai.matching.twice import matching_twice

KEY = torch.tensor([7, 3])
KINDS = ("factors", "matrix", "first order")


def of_kind(problem: MatchingProblem, kind: str) -> MatchingProblem:
    if kind == "first order":
        return MatchingProblem(problem.c_v)
    if kind == "matrix":
        return MatchingProblem(problem.c_v, problem.edges_s, problem.edges_t, problem.edge_affinities())
    return problem


@pytest.mark.parametrize("kind", KINDS)
def test_opcheck_of_the_search(make_problem, kind):
    parts = of_kind(make_problem(batch=2), kind).parts()
    torch.library.opcheck(matching, (*parts, True, KEY, "numba", None, 1.0, 30, 3))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lambda_", [0.1, 80.0])
def test_opcheck_of_both_solves(make_problem, kind, lambda_):
    parts = of_kind(make_problem(batch=2), kind).parts()
    torch.library.opcheck(matching_twice, (*parts, True, KEY, torch.tensor(lambda_), 0.2, 0.1, True, 0.1, True))


@pytest.mark.parametrize("backend", ["numba", "torch", "reference"])
def test_solve_compiles_without_breaks(make_problem, backend):
    torch._dynamo.reset()
    problem = make_problem(batch=3)

    def score(c_v, key):
        edges = {name: getattr(problem, name) for name in ("edges_s", "edges_t", "d_s", "d_t", "edge_weight")}
        solution = solve(MatchingProblem(c_v, **edges), backend, generator=key)
        return solution.v, solution.score

    compiled = torch.compile(score, fullgraph=True, backend="aot_eager")(problem.c_v, KEY)
    for found, expected in zip(compiled, score(problem.c_v, KEY), strict=True):
        torch.testing.assert_close(found, expected)


def test_without_a_key_compiled_graphs_draw_from_the_global_generator():
    torch._dynamo.reset()
    c_v = torch.zeros(50, 6, 6)
    compiled = torch.compile(lambda c: solve(MatchingProblem(c)).v, fullgraph=True, backend="eager")
    torch.manual_seed(3)
    first, second = compiled(c_v), compiled(c_v)
    torch.manual_seed(3)
    assert torch.equal(compiled(c_v), first)
    assert not torch.equal(first, second)


def test_a_key_decides_the_solution(make_problem):
    c_v = torch.zeros(40, 8, 8)
    first, again, other = (solve(MatchingProblem(c_v), generator=key).v for key in (KEY, KEY.clone(), KEY + 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    noisy = [imle(make_problem(), vertex_noise=2.0, generator=key) for key in (KEY, KEY, KEY + 1)]
    assert torch.equal(noisy[0].g_v, noisy[1].g_v)
    assert not torch.equal(noisy[0].g_v, noisy[2].g_v)


def test_key_and_generator_of_that_key_agree(make_problem):
    problem = make_problem(vertex_noise=1.0)
    for lambda_ in (0.2, 80.0):
        with_key = imle(problem, lambda_, generator=KEY)
        with_generator = imle(problem, lambda_, generator=generator_of(KEY))
        assert torch.equal(with_key.g_v, with_generator.g_v)
        assert torch.equal(with_key.skipped, with_generator.skipped)


def test_keys_near_each_other_give_unrelated_numbers():
    draws = torch.stack([torch.rand(1000, generator=generator_of(torch.tensor([0, step]))) for step in range(20)])
    correlation = torch.corrcoef(draws).fill_diagonal_(0)
    assert correlation.abs().max() < 5 / 1000**0.5
    assert key_of(KEY) is KEY
    assert key_of(None).shape == (1,)


def test_gradients_stop_at_the_solvers(make_problem):
    problem = make_problem()
    c_v = problem.c_v.requires_grad_()
    solution = solve(problem, generator=KEY)
    assert not solution.score.requires_grad
    assert not imle(problem, generator=KEY).g_v.requires_grad
    problem.score(solution.v).sum().backward()
    assert torch.equal(c_v.grad.argmax(dim=2), solution.v)


def test_the_bound_is_there_when_asked_for(make_problem):
    problem = make_problem(batch=5)
    assert solve(problem, generator=KEY).bound is None
    solution = solve(problem, generator=KEY, bound=True)
    best = solve(problem, "reference", generator=KEY).score
    assert (solution.bound >= best - 1e-9).all()
    torch.testing.assert_close(solution.gap(), (solution.bound - solution.score) / solution.score.abs())
    with pytest.raises(ValueError, match="call solve with bound=True"):
        solve(problem, generator=KEY).gap()


def test_compiled_graphs_refuse_a_generator_whose_state_they_could_not_change():
    with pytest.raises(ValueError, match=r"cannot take a torch.Generator: give a key instead"):
        key_of(torch.Generator())
