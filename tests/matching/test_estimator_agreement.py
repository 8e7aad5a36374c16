"""Where theory says that two forms of the estimator are one, they give the same gradient."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lvm_med_monai.matching import MatchingProblem, assign, imle, perturb, saturation_bound, sinkhorn, solve
from lvm_med_monai.matching.adaptive import AdaptiveLambda

NODES = 6


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def matrices(v: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.one_hot(v, v.shape[-1]).double()


def with_matrix(problem: MatchingProblem) -> MatchingProblem:
    return replace(problem, c_e=problem.edge_affinities(), d_s=None, d_t=None, edge_weight=1.0)


@pytest.mark.parametrize("vertex_noise", [0.2, 1.0])
def test_above_the_bound_every_lambda_is_the_saturated_form(make_problem, vertex_noise):
    """The solved, the skipped and the adaptive second step agree: v' = identity."""
    problem = make_problem(batch=12, nodes=NODES)
    bound = saturation_bound(perturb(problem, vertex_noise, generator=generator())).max().item()
    adaptive = AdaptiveLambda(largest=1.01 * bound, target=NODES + 1)  # more than can move: lambda stays largest
    estimates = []
    for lambda_, skip in ((1.01 * bound, True), (1.01 * bound, False), (80.0, True), (adaptive.value, True)):
        estimates.append(imle(problem, lambda_, vertex_noise=vertex_noise, skip=skip, generator=generator()))
        adaptive.update(estimates[-1])
    assert adaptive.value.item() == pytest.approx(1.01 * bound)
    saturated = matrices(estimates[0].v[0]) - torch.eye(NODES, dtype=torch.float64)
    for estimate in estimates:
        assert torch.equal(estimate.g_v, saturated)
    assert (estimates[0].skipped == 1).all()


def test_without_noise_and_margin_it_is_the_structured_perceptron(make_problem):
    """The gradient of ``max_v S(v) - S(v*)``: the optimum's indicators minus those of the identity."""
    problem = make_problem(batch=10, nodes=NODES, vertex_noise=0.4)
    estimate = imle(problem, vertex_noise=0.0, generator=generator())
    c_v, c_e = problem.c_v.requires_grad_(), problem.edge_affinities().requires_grad_()
    best = MatchingProblem(c_v, problem.edges_s, problem.edges_t, c_e)
    v = solve(best, "reference", generator=generator()).v
    identity = torch.arange(NODES).expand_as(v)
    (best.score(v) - best.score(identity)).sum().backward()
    assert torch.equal(estimate.g_v, c_v.grad)
    own = best.edge_score(estimate.v[0]) - best.edge_score(estimate.shifted[0])
    assert torch.equal(torch.autograd.grad(own.sum(), c_e)[0], c_e.grad)


def test_samples_are_the_mean_of_single_ones_with_the_same_noise(make_problem):
    problem = make_problem(batch=5, nodes=NODES)
    samples = 4
    together = imle(problem, 0.3, samples, vertex_noise=0.5, edge_noise=0.2, generator=generator(3))
    noisy = perturb(problem.select(torch.arange(5).repeat(samples)), 0.5, 0.2, generator=generator(3))
    single = [
        imle(noisy.select(torch.arange(5 * s, 5 * s + 5)), 0.3, vertex_noise=0.0, generator=generator(s))
        for s in range(samples)
    ]
    torch.testing.assert_close(together.g_v, torch.stack([one.g_v for one in single]).mean(dim=0))
    torch.testing.assert_close(together.hamming, torch.stack([one.hamming for one in single]).mean(dim=0))
    assert torch.equal(together.v, torch.cat([one.v for one in single]))
    assert torch.equal(together.shifted, torch.cat([one.shifted for one in single]))


@pytest.mark.parametrize("margin", [0.1, 0.5])
def test_a_margin_is_a_shift_of_the_diagonal(make_problem, margin):
    problem = make_problem(batch=8, nodes=NODES)
    lowered = replace(problem, c_v=problem.c_v - margin * torch.eye(NODES, dtype=torch.float64))
    with_margin = imle(problem, vertex_noise=0.0, margin=margin, generator=generator())
    assert torch.equal(with_margin.g_v, imle(lowered, vertex_noise=0.0, generator=generator()).g_v)


def test_cold_sinkhorn_is_the_hard_gradient():
    """First order, clear optimum: P - I at temperature -> 0 is the noise-free I-MLE gradient."""
    c_v = torch.randn(60, NODES, NODES, generator=generator(), dtype=torch.float64)
    v = assign(-c_v)
    # another assignment lacks at least one pair of the best: forbid each in turn
    second = []
    for i in range(NODES):
        forbidden = c_v.clone()
        forbidden[torch.arange(60), i, v[:, i]] = -100.0
        w = assign(-forbidden)
        second.append(forbidden.gather(2, w.unsqueeze(2)).sum(dim=(1, 2)))
    lead = c_v.gather(2, v.unsqueeze(2)).sum(dim=(1, 2)) - torch.stack(second).amax(dim=0)
    problem = MatchingProblem(c_v[lead > 0.4])
    assert len(problem.c_v) >= 10
    hard = imle(problem, vertex_noise=0.0, generator=generator()).g_v
    errors = [(sinkhorn(problem, t, iterations=5000).g_v - hard).abs().amax() for t in (0.1, 0.03, 0.01)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 2e-3


@pytest.mark.parametrize("change", [lambda p: p, with_matrix], ids=["factors", "matrix"])
def test_the_quick_bound_is_never_smaller(make_problem, change):
    problem = change(make_problem(batch=20, nodes=8, k=3))
    quick, exact = saturation_bound(problem, quick=True), saturation_bound(problem)
    assert (quick >= exact).all()
    assert (quick > exact).any() == (problem.c_e is None)


def test_the_bound_does_not_depend_on_the_form_of_the_edges(make_problem):
    problem = make_problem(batch=6, nodes=8, k=3)
    torch.testing.assert_close(saturation_bound(with_matrix(problem)), saturation_bound(problem))


def test_adaptive_lambda_finds_the_wanted_number_of_moved_nodes(make_problem):
    problem = make_problem(batch=30, nodes=10, k=3, vertex_noise=0.6)
    adaptive = AdaptiveLambda(largest=80.0, target=1.0, rate=0.2, decay=0.8)
    saturated = imle(problem, 80.0, vertex_noise=0.0, generator=generator())
    assert (saturated.v != saturated.shifted).sum(dim=2).double().mean() > 2
    for _ in range(60):
        adaptive.update(imle(problem, adaptive.value, vertex_noise=0.0, generator=generator()))
    assert 0 < adaptive.value < 2
    assert adaptive.moved.item() == pytest.approx(1.0, abs=0.7)


def test_adaptive_lambda_rises_again_where_nothing_moves(make_problem):
    problem = make_problem(view_noise=0.0, vertex_noise=0.0)
    adaptive = AdaptiveLambda(largest=2.0)
    adaptive.value.fill_(0.01)
    for _ in range(200):
        adaptive.update(imle(problem, adaptive.value, vertex_noise=0.0, generator=generator()))
    assert adaptive.value == 2.0
    assert adaptive.moved < 1e-6


def test_the_entropic_estimate_has_no_lambda(make_problem):
    with pytest.raises(ValueError, match="only the estimate of imle has a lambda"):
        AdaptiveLambda().update(sinkhorn(make_problem()))
