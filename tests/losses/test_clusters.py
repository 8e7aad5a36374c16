from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch.nn.functional import normalize

from lvm_med_monai.losses import require_lightly, spherical_k_means


def bundles_of_directions(clusters=4, members=25, features=16):
    generator = torch.Generator().manual_seed(0)
    axes = torch.eye(features)[:clusters].repeat_interleave(members, 0)
    return normalize(axes + 0.05 * torch.randn(len(axes), features, generator=generator), dim=1)


def purity(found, members):
    return sum(group.bincount().max() for group in found.split(members)) / len(found)


def test_well_separated_directions_are_found():
    features = bundles_of_directions()
    best = 0.0
    for seed in range(8):  # k-means may start with two centroids in one bundle
        centroids, found = spherical_k_means(features, 4, 10, torch.Generator().manual_seed(seed))
        torch.testing.assert_close(centroids.norm(dim=1), torch.ones(4))
        if len(found.unique()) == 4:
            best = max(best, float(purity(found, 25)))
    assert best == 1


def test_iterations_never_lower_the_cosines_and_agree_with_a_loop():
    features = normalize(torch.randn(60, 5, generator=torch.Generator().manual_seed(1)), dim=1)
    quality = []
    for iterations in range(6):
        centroids, found = spherical_k_means(features, 7, iterations, torch.Generator().manual_seed(2))
        quality.append(float((features * centroids[found]).sum(1).mean()))
    assert all(later >= earlier - 1e-6 for earlier, later in pairwise(quality))
    centroids, found = spherical_k_means(features, 7, 3, torch.Generator().manual_seed(2))
    start = features[torch.randperm(60, generator=torch.Generator().manual_seed(2))[:7]]
    for _ in range(3):
        members = [max(range(7), key=lambda c: float(start[c] @ x)) for x in features]
        sums = [sum(x for x, m in zip(features, members, strict=True) if m == c) for c in range(7)]
        start = torch.stack(
            [old if isinstance(new, int) else normalize(new, dim=0) for old, new in zip(start, sums, strict=True)]
        )
    torch.testing.assert_close(centroids, start)
    assert found.tolist() == [max(range(7), key=lambda c: float(start[c] @ x)) for x in features]


def test_an_empty_cluster_keeps_its_centroid():
    features = torch.eye(2)[[0, 0, 1]]
    centroids, found = spherical_k_means(features, 3, 5, torch.Generator().manual_seed(0))
    assert torch.isfinite(centroids).all()
    assert found[0] == found[1] != found[2]


def test_fewer_vectors_than_clusters_are_refused():
    with pytest.raises(ValueError, match="3 slices make no 4 clusters: lower prototypes"):
        spherical_k_means(torch.eye(3), 4, 1, torch.Generator())


def test_a_missing_lightly_names_the_cure(monkeypatch):
    require_lightly()
    monkeypatch.setattr("lvm_med_monai.losses.requirements.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'lvm-med-monai\[ssl\]'"):
        require_lightly()
