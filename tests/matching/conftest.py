"""Matching problems of the shape that training meets."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from lvm_med_monai.graph import knn_edges
from lvm_med_monai.matching import MatchingProblem, edge_affinity, vertex_affinity


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small tensors: threads that wait for each other on a busy machine cost more than they save."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def make_problem() -> Callable[..., MatchingProblem]:
    def make(
        batch: int = 4,
        nodes: int = 6,
        k: int = 2,
        view_noise: float = 1.5,
        vertex_noise: float = 0.2,
        edge_weight: float | None = None,
        seed: int = 0,
        features: int = 16,
    ) -> MatchingProblem:
        """Affinities of two noisy views of random features, with normal noise on vertices: no ties."""
        generator = torch.Generator().manual_seed(seed)

        def draw(*shape: int) -> torch.Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        base = draw(batch, nodes, features)
        h_s, h_t = (base + view_noise / 2**0.5 * draw(batch, nodes, features) for _ in range(2))
        edges_s, edges_t = knn_edges(h_s, k), knn_edges(h_t, k)
        return MatchingProblem(
            vertex_affinity(h_s, h_t) + vertex_noise * draw(batch, nodes, nodes),
            edges_s,
            edges_t,
            d_s=edge_affinity(h_s, edges_s),
            d_t=edge_affinity(h_t, edges_t),
            edge_weight=1 / k if edge_weight is None else edge_weight,
        )

    return make
