"""Tensors of a batch of graphs, and how a batch of images becomes graphs."""

from __future__ import annotations

from typing import NamedTuple

import torch


class GraphBatch(NamedTuple):
    """A batch of directed graphs of equal size.

    Attributes:
        nodes: node features, shape (B, N, C).
        edges: directed edges, source then neighbour, shape (B, E, 2), int64.
        k: neighbours of each node; E = N * k, and edges n*k .. n*k + k - 1 leave node n.
    """

    nodes: torch.Tensor
    edges: torch.Tensor
    k: int


class GraphView(NamedTuple):
    """The graphs of one augmented view of a batch of images.

    Attributes:
        z: projected features, before message passing, shape (B, N, C).
        h: features after message passing (the paper's z-hat), shape (B, N, C).
        edges: directed k-NN edges built on ``z``, shape (B, E, 2), int64.
    """

    z: torch.Tensor
    h: torch.Tensor
    edges: torch.Tensor


def cut_into_graphs(x: torch.Tensor, graph_size: int) -> torch.Tensor:
    """Cut a batch of images into graphs of ``graph_size`` consecutive images.

    The last ``len(x) % graph_size`` images join no graph. Both views of a batch are cut alike, so node i of a source
    graph and node i of its target graph show the same image.

    Args:
        x: one entry an image: features (images, C), dense maps (images, C, H, W), coordinates and so on.
        graph_size: nodes of a graph, N.

    Returns:
        A view of ``x`` of shape (B, N, ...) with B = images // N.

    Raises:
        ValueError: there are fewer images than nodes of a graph.

    Example:
        >>> cut_into_graphs(torch.zeros(9, 128), graph_size=4).shape
        torch.Size([2, 4, 128])
    """
    graphs = len(x) // graph_size
    if graphs == 0:
        raise ValueError(
            f"a batch of {len(x)} images fills no graph of {graph_size} nodes: "
            f"use a batch size of at least {graph_size} on each device, or a smaller graph_size"
        )
    return x[: graphs * graph_size].unflatten(0, (graphs, graph_size))
