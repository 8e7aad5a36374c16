"""Matching problems for benchmarks, reproducible from a seed: two noisy views of random, clustered or real embeddings.

Real embeddings come from a file that the user dumps after or during training:

    np.savez("embeddings.npz", source=z_source, target=z_target)

with two arrays of shape (images, C), in which row i shows the same image.

The targets are shuffled, so that no solver profits from preferring the identity; ``Instances.truth`` keeps the shuffle.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from lvm_med_monai.graph import knn_edges
from lvm_med_monai.matching import MatchingProblem, edge_affinity, perturb, vertex_affinity

MESSAGE_PASSING = ("none", "residual", "plain")
CLUSTERS = 4
SPREAD = 0.3  # of a cluster, beside centres of unit variance
GATE = 0.5  # of residual message passing


@dataclass(frozen=True)
class Recipe:
    """How affinities come from the embeddings of two views.

    Attributes:
        view_noise: normal noise between the views, per channel, beside embeddings of unit variance; not for real ones.
        clustered: draw the nodes of a graph from 4 clusters.
        message_passing: one of ``MESSAGE_PASSING``: a mean over a node and its neighbours, without weights.
        k: neighbours of each node.
        edge_weight: weight of the edge affinities; None: 1 / k.
        vertex_noise: scale of Gumbel noise on vertex affinities.
        edge_noise: the same on edge cosines.
        centred: whether the noise has mean 0, unlike the paper's.
        features: channels; not for real embeddings.
    """

    view_noise: float = 0.5
    clustered: bool = False
    message_passing: str = "residual"
    k: int = 5
    edge_weight: float | None = None
    vertex_noise: float = 0.2
    edge_noise: float = 0.0
    centred: bool = True
    features: int = 128


class Instances(NamedTuple):
    """Problems, and the permutation that shows each source image its own target, shape (B, N)."""

    problem: MatchingProblem
    truth: torch.Tensor


LITERAL = Recipe(message_passing="plain", edge_weight=1.0, vertex_noise=1.0, edge_noise=1.0, centred=False)


def synthetic(recipe: Recipe, graphs: int, nodes: int, seed: int) -> Instances:
    """Draw embeddings and return their problems."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    z = normal(graphs, nodes, recipe.features)
    if recipe.clustered:
        centres = normal(graphs, CLUSTERS, recipe.features)
        cluster = torch.randint(CLUSTERS, (graphs, nodes, 1), generator=generator)
        z = centres.gather(1, cluster.expand_as(z)) + SPREAD * z
    # the difference of the views has the variance of the noise
    z_s, z_t = (z + recipe.view_noise / 2**0.5 * normal(*z.shape) for _ in range(2))
    return from_views(z_s, z_t, recipe, generator)


def from_file(path: Path, recipe: Recipe, graphs: int, nodes: int, seed: int) -> Instances:
    """Load embeddings of two views and put random images into graphs.

    Raises:
        ValueError: the arrays do not fit together or hold too few images for one graph.
    """
    with np.load(path, allow_pickle=False) as file:
        z_s, z_t = (torch.from_numpy(file[name]).double() for name in ("source", "target"))
    if z_s.ndim != 2 or z_s.shape != z_t.shape or len(z_s) < nodes:
        shapes = f"{tuple(z_s.shape)} and {tuple(z_t.shape)}"
        raise ValueError(f"{path} must hold two arrays of equal shape (images >= {nodes}, C), got {shapes}")
    generator = torch.Generator().manual_seed(seed)
    image = torch.stack([torch.randperm(len(z_s), generator=generator)[:nodes] for _ in range(graphs)])
    return from_views(z_s[image], z_t[image], recipe, generator)


def from_views(z_s: torch.Tensor, z_t: torch.Tensor, recipe: Recipe, generator: torch.Generator) -> Instances:
    """Return the problems of two views of shape (B, N, C), targets shuffled."""
    graphs, nodes, channels = z_t.shape
    order = torch.rand(graphs, nodes, generator=generator).argsort(dim=1)
    z_t = z_t.gather(1, order.unsqueeze(2).expand(-1, -1, channels))
    edges_s, edges_t = knn_edges(z_s, recipe.k), knn_edges(z_t, recipe.k)
    h_s, h_t = pass_messages(z_s, edges_s, recipe), pass_messages(z_t, edges_t, recipe)
    problem = MatchingProblem(
        vertex_affinity(h_s, h_t),
        edges_s,
        edges_t,
        d_s=edge_affinity(h_s, edges_s),
        d_t=edge_affinity(h_t, edges_t),
        edge_weight=1 / recipe.k if recipe.edge_weight is None else recipe.edge_weight,
    )
    noisy = perturb(problem, recipe.vertex_noise, recipe.edge_noise, recipe.centred, generator=generator)
    return Instances(noisy, order.argsort(dim=1))


def pass_messages(z: torch.Tensor, edges: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    """Average each node with its neighbours, shape (B, N, C)."""
    if recipe.message_passing not in MESSAGE_PASSING:
        raise ValueError(f"message passing must be one of {', '.join(MESSAGE_PASSING)}, got {recipe.message_passing!r}")
    if recipe.message_passing == "none":
        return z
    neighbour = edges[..., 1].unsqueeze(2).expand(-1, -1, z.shape[2])
    around = z.gather(1, neighbour).unflatten(1, (z.shape[1], recipe.k)).sum(dim=2)
    mean = (z + around) / (recipe.k + 1)
    return mean if recipe.message_passing == "plain" else z + GATE * mean
