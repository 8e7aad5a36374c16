from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from lvm_med_monai.metrics import effective_rank, embedding_spread, matching_accuracy, retrieval_accuracy


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_matching_accuracy_equals_scipy_on_cosines():
    z_s, z_t = torch.randn(6, 9, 5, generator=generator(1)), torch.randn(6, 9, 5, generator=generator(2))
    z_t += 0.8 * z_s
    wanted = []
    for s, t in zip(z_s.numpy(), z_t.numpy(), strict=True):
        cosines = (s / np.linalg.norm(s, axis=1, keepdims=True)) @ (t / np.linalg.norm(t, axis=1, keepdims=True)).T
        wanted.append(np.mean(linear_sum_assignment(-cosines)[1] == np.arange(9)))
    np.testing.assert_allclose(matching_accuracy(z_s, z_t, generator()), wanted)


def test_identical_views_match_perfectly_and_collapsed_ones_by_chance():
    z = torch.randn(3, 16, 8, generator=generator())
    assert matching_accuracy(z, z, generator()).tolist() == [1, 1, 1]
    collapsed = torch.ones(200, 16, 8)
    assert matching_accuracy(collapsed, collapsed, generator()).mean() == pytest.approx(1 / 16, abs=0.02)
    assert retrieval_accuracy(collapsed, collapsed).max() == 0


def test_retrieval_counts_nearest_neighbours():
    z_s = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    assert retrieval_accuracy(z_s, z_s).item() == 1
    assert retrieval_accuracy(z_s, z_s.flip(1)).item() == 0
    assert retrieval_accuracy(z_s, torch.tensor([[[1.0, 0.1], [1.0, 0.0]]])).item() == 0


def test_spread_is_0_when_collapsed_and_1_when_even():
    assert embedding_spread(torch.ones(10, 4)).item() == pytest.approx(0)
    assert embedding_spread(torch.randn(20_000, 32, generator=generator())).item() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("rank", [1, 3, 7])
def test_effective_rank_counts_directions(rank):
    directions = torch.eye(rank + 1, 12)
    assert effective_rank(directions.repeat(50, 1)).item() == pytest.approx(rank, abs=1e-3)


def test_effective_rank_of_equal_embeddings_is_finite():
    assert torch.isfinite(effective_rank(torch.ones(5, 4)))
