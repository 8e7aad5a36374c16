from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lvm_med_monai.matching import MatchingProblem, hamming_loss, imle, perturb, saturation_bound, sinkhorn, solve

NODES = 6


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shifted_optimum(problem: MatchingProblem, lambda_: float) -> torch.Tensor:
    slope = 1 - 2 * torch.eye(NODES, dtype=torch.float64)
    return solve(replace(problem, c_v=problem.c_v - lambda_ * slope), "reference", generator=generator()).v


@pytest.mark.parametrize(
    ("v", "loss"), [([0, 1, 2], 0.0), ([1, 0, 2], 4.0), ([1, 2, 0], 6.0)], ids=["right", "two wrong", "all wrong"]
)
def test_hamming_loss_is_twice_the_wrong_rows(v, loss):
    matrix = torch.nn.functional.one_hot(torch.tensor([v]), 3).double()
    assert hamming_loss(matrix).tolist() == [loss]


def test_hamming_loss_of_a_plan():
    assert hamming_loss(torch.full((1, 4, 4), 0.25)).tolist() == [6.0]


@pytest.mark.parametrize("edge_weight", [0.2, 1.0])
@pytest.mark.parametrize("vertex_noise", [0.0, 0.5, 2.0])
def test_saturation_bound_holds(make_problem, edge_weight, vertex_noise):
    """At the bound the enumerated second solve is the identity."""
    problem = make_problem(batch=30, nodes=NODES, edge_weight=edge_weight, vertex_noise=vertex_noise)
    bound = saturation_bound(problem)
    assert (bound >= 0).all()
    for b in range(30):
        v = shifted_optimum(problem.select(torch.tensor([b])), float(bound[b]) + 1e-9)
        assert v.tolist() == [list(range(NODES))]


def test_saturation_bound_is_exact_for_two_swapped_nodes():
    """Without edges, with each node best off elsewhere by 3, the identity needs lambda = 3 / 2."""
    problem = MatchingProblem(torch.tensor([[[0.0, 3.0], [3.0, 0.0]]]))
    assert saturation_bound(problem).tolist() == [1.5]
    assert imle(problem, 1.49, vertex_noise=0.0).shifted.tolist() == [[[1, 0]]]
    assert imle(problem, 1.51, vertex_noise=0.0).shifted.tolist() == [[[0, 1]]]


def test_saturation_bound_ignores_padding(make_problem):
    problem = make_problem()
    padded = MatchingProblem(
        problem.c_v,
        torch.nn.functional.pad(problem.edges_s, (0, 0, 0, 1), value=-1),
        torch.nn.functional.pad(problem.edges_t, (0, 0, 0, 1), value=-1),
        torch.nn.functional.pad(problem.edge_affinities(), (0, 1, 0, 1), value=50.0),
    )
    torch.testing.assert_close(saturation_bound(padded), saturation_bound(problem))


@pytest.mark.parametrize("lambda_", [0.05, 0.3, 1.0, 80.0])
def test_skipping_the_second_solve_changes_nothing(make_problem, lambda_):
    problem = make_problem(batch=16, nodes=NODES)
    options = {"lambda_": lambda_, "samples": 2, "vertex_noise": 0.3, "edge_noise": 0.1}
    skipped = imle(problem, **options, generator=generator())
    solved = imle(problem, **options, skip=False, generator=generator())
    assert torch.equal(skipped.g_v, solved.g_v)
    assert torch.equal(skipped.shifted, solved.shifted)
    assert solved.skipped.sum() == 0
    if lambda_ == 80.0:
        assert (skipped.skipped == 1).all()


@pytest.mark.parametrize("lambda_", [0.1, 0.5, 80.0])
@pytest.mark.parametrize("margin", [0.0, 0.2])
def test_imle_is_the_difference_of_two_enumerated_optima(make_problem, lambda_, margin):
    problem = make_problem(batch=12, nodes=NODES)
    noise = {"vertex_noise": 0.2, "edge_noise": 0.1, "margin": margin}
    estimate = imle(problem, lambda_, **noise, generator=generator(7))
    noisy = perturb(problem, **noise, generator=generator(7))
    v, w = solve(noisy, "reference").v, shifted_optimum(noisy, lambda_)
    assert torch.equal(estimate.v[0], v)
    assert torch.equal(estimate.shifted[0], w)
    one_hot = torch.nn.functional.one_hot
    assert torch.equal(estimate.g_v, (one_hot(v, NODES) - one_hot(w, NODES)).double())
    wrong = (v != torch.arange(NODES)).sum(dim=1)
    assert torch.equal(estimate.hamming, 2.0 * wrong)
    assert torch.equal(estimate.nonzero, (v != w).any(dim=1).double())


def test_samples_are_averaged(make_problem):
    problem = make_problem(batch=5, nodes=NODES)
    estimate = imle(problem, samples=3, vertex_noise=1.0, generator=generator())
    assert estimate.v.shape == estimate.shifted.shape == (3, 5, NODES)
    one_hot = torch.nn.functional.one_hot
    expected = (one_hot(estimate.v, NODES) - one_hot(estimate.shifted, NODES)).double().mean(dim=0)
    torch.testing.assert_close(estimate.g_v, expected)
    assert len({tuple(v.flatten().tolist()) for v in estimate.v}) > 1


def test_first_order_sinkhorn_is_the_fenchel_young_gradient():
    """P - I is the gradient of temperature * log-partition minus the affinity of the identity: finite differences."""
    c_v = torch.randn(1, 4, 4, generator=generator(), dtype=torch.float64)
    g_v = sinkhorn(MatchingProblem(c_v), temperature=1.5).g_v

    def loss(c):
        plan = sinkhorn(MatchingProblem(c), temperature=1.5).plan
        return float((c * plan).sum() - 1.5 * (plan * plan.log()).sum() - c.diagonal(dim1=1, dim2=2).sum())

    for i in range(4):
        for a in range(4):
            step = torch.zeros_like(c_v)
            step[0, i, a] = 1e-5
            assert g_v[0, i, a].item() == pytest.approx((loss(c_v + step) - loss(c_v - step)) / 2e-5, abs=1e-4)


def test_second_order_sinkhorn_uses_the_edges(make_problem):
    problem = make_problem(batch=20, nodes=NODES, view_noise=0.5, edge_weight=1.0, vertex_noise=0.5)
    with_edges = sinkhorn(problem, temperature=0.1)
    without = sinkhorn(MatchingProblem(problem.c_v), temperature=0.1)
    assert with_edges.hamming.mean() < without.hamming.mean()
    torch.testing.assert_close(with_edges.plan.sum(dim=1), torch.ones(20, NODES, dtype=torch.float64))
    assert with_edges.v is None


@pytest.mark.parametrize("estimator", [imle, sinkhorn])
def test_rectangular_problems_have_no_identity(estimator):
    with pytest.raises(ValueError, match=r"only for square problems, got c_v of shape \(1, 2, 3\)"):
        estimator(MatchingProblem(torch.zeros(1, 2, 3)))
