"""Clusters of unit vectors, as DeepCluster-v2 draws its targets from them."""

from __future__ import annotations

import torch
from torch.nn.functional import normalize

_ROWS = 1 << 14
"""Vectors that are compared with all centroids at a time."""


def spherical_k_means(
    features: torch.Tensor, clusters: int, iterations: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Group unit vectors by their cosines to centroids.

    Starts from randomly drawn vectors; in each iteration a vector joins the centroid of the largest cosine (the first
    of equals), and a centroid becomes the normalised mean of its vectors. An empty cluster keeps its centroid.

    Args:
        features: unit vectors, shape (M, F).
        clusters: number of centroids.
        iterations: updates of the centroids.
        generator: draws the first centroids, on the CPU.

    Returns:
        Unit centroids (clusters, F), and the cluster of each vector (M,), int64.

    Raises:
        ValueError: fewer vectors than clusters.

    References:
        SwAV, arXiv 2006.09882, appendix (DeepCluster-v2); Dhillon & Modha, Machine Learning 42, 2001.
    """
    if len(features) < clusters:
        raise ValueError(
            f"{len(features)} slices make no {clusters} clusters: lower prototypes, or extract more slices"
        )
    first = torch.randperm(len(features), generator=generator)[:clusters].to(features.device)
    centroids = features[first].clone()
    for _ in range(iterations):
        members = _nearest(features, centroids)
        sums = torch.zeros_like(centroids).index_add_(0, members, features)
        filled = torch.bincount(members, minlength=clusters) > 0
        centroids = torch.where(filled[:, None], normalize(sums, dim=1), centroids)
    return centroids, _nearest(features, centroids)


def _nearest(features: torch.Tensor, centroids: torch.Tensor) -> torch.Tensor:
    """Index of the centroid of the largest cosine for each vector, shape (M,)."""
    return torch.cat([(rows @ centroids.T).argmax(1) for rows in features.split(_ROWS)])
