from __future__ import annotations

import numpy as np
import pytest
import torch

from lvm_med_monai.graph import knn_edges


def neighbours_by_hand(nodes: np.ndarray, k: int) -> list[list[list[int]]]:
    edges = []
    for graph in nodes:
        of_graph = []
        for i, x in enumerate(graph):
            others = sorted((float(np.sqrt(((x - y) ** 2).sum())), j) for j, y in enumerate(graph) if j != i)
            of_graph += [[i, j] for _, j in others[:k]]
        edges.append(of_graph)
    return edges


@pytest.mark.parametrize("k", [1, 3, 6])
def test_edges_are_the_nearest_others_in_order(k):
    nodes = torch.randn(4, 7, 5, generator=torch.Generator().manual_seed(k), dtype=torch.float64)
    assert knn_edges(nodes, k).tolist() == neighbours_by_hand(nodes.numpy(), k)


def test_ties_go_to_the_smallest_index():
    equal = torch.ones(1, 40, 3)
    edges = knn_edges(equal, 2)[0].view(40, 2, 2)
    assert edges[0].tolist() == [[0, 1], [0, 2]]
    assert edges[1].tolist() == [[1, 0], [1, 2]]
    assert edges[39].tolist() == [[39, 0], [39, 1]]


def test_near_duplicates_far_from_the_origin_are_told_apart():
    nodes = torch.full((1, 30, 8), 100.0)
    nodes[0, :, 0] += 1e-3 * torch.arange(30)
    assert (knn_edges(nodes, 1)[0, 1:-1] - torch.arange(1, 29).unsqueeze(1)).abs().max() == 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_compared_in_float32(dtype):
    nodes = torch.randn(2, 9, 4, generator=torch.Generator().manual_seed(0)).to(dtype)
    assert torch.equal(knn_edges(nodes, 3), knn_edges(nodes.float(), 3))


@pytest.mark.parametrize("k", [0, 5, 9])
def test_k_must_be_less_than_the_nodes(k):
    with pytest.raises(ValueError, match=rf"k = {k} and N = 5"):
        knn_edges(torch.zeros(1, 5, 2), k)


def test_shape_is_checked():
    with pytest.raises(ValueError, match=r"nodes must have shape \(B, N, C\), got \(5, 2\)"):
        knn_edges(torch.zeros(5, 2), 2)
