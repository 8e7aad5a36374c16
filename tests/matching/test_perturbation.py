from __future__ import annotations

import math

import pytest
import torch

from lvm_med_monai.matching import MatchingProblem, perturb


def noise(**options: object) -> torch.Tensor:
    problem = MatchingProblem(torch.zeros(10, 60, 60))
    return perturb(problem, generator=torch.Generator().manual_seed(0), **options).c_v


@pytest.mark.parametrize("scale", [0.2, 1.0])
@pytest.mark.parametrize(("centred", "mean"), [(True, 0.0), (False, 0.5772)])
def test_noise_is_gumbel(scale, centred, mean):
    x = noise(vertex_noise=scale, centred=centred) / scale
    error = math.pi / 6**0.5 / x.numel() ** 0.5
    assert x.mean().item() == pytest.approx(mean, abs=4 * error)
    assert x.std().item() == pytest.approx(math.pi / 6**0.5, rel=0.02)
    # Gumbel's distribution function exp(-exp(-x)) at its mode
    at_mode = 0.0 - (0.5772 if centred else 0.0)
    assert (x < at_mode).double().mean().item() == pytest.approx(math.exp(-1), abs=0.01)


def test_margin_is_taken_from_the_true_pairs():
    assert torch.equal(noise(margin=0.25), -0.25 * torch.eye(60).expand(10, -1, -1))


def test_edge_noise_is_relative_to_the_cosine(make_problem):
    problem = make_problem(batch=60, nodes=8, k=3, edge_weight=0.25)
    noisy = perturb(problem, edge_noise=0.5, generator=torch.Generator().manual_seed(0))
    change = noisy.edge_affinities() - problem.edge_affinities()
    assert torch.equal(noisy.c_v, problem.c_v)
    assert change.std().item() == pytest.approx(0.25 * 0.5 * math.pi / 6**0.5, rel=0.03)


def test_without_noise_nothing_changes_and_gradients_stop(make_problem):
    problem = make_problem()
    problem.c_v.requires_grad_()
    same = perturb(problem)
    assert torch.equal(same.c_v, problem.c_v)
    assert same.d_s is not None
    assert not same.c_v.requires_grad


def test_generator_decides_the_noise():
    assert torch.equal(noise(vertex_noise=1.0), noise(vertex_noise=1.0))
