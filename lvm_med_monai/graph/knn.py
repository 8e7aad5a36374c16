"""Directed nearest-neighbour edges."""

from __future__ import annotations

import torch


@torch.no_grad()
def knn_edges(nodes: torch.Tensor, k: int) -> torch.Tensor:
    """Connect each node to its ``k`` nearest other nodes in Euclidean distance.

    Edges are directed from a node to its neighbours and are not symmetrised: a node may be a neighbour of many others
    or of none. Among equally distant neighbours the smallest index comes first, so near-duplicate images give the same
    graph on every run.

    Args:
        nodes: node features, shape (B, N, C), any floating dtype; half precision is compared in float32.
        k: neighbours of each node, 0 < k < N.

    Returns:
        Edges (node, neighbour), nearest first, shape (B, N * k, 2), int64.

    Raises:
        ValueError: ``nodes`` is not three-dimensional, or ``k`` is not in 1 .. N - 1.

    Example:
        >>> knn_edges(torch.tensor([[[0.0], [1.0], [3.0]]]), k=1)
        tensor([[[0, 1],
                 [1, 0],
                 [2, 1]]])
    """
    if nodes.ndim != 3:
        raise ValueError(f"nodes must have shape (B, N, C), got {tuple(nodes.shape)}")
    batch, count, _ = nodes.shape
    if not 0 < k < count:
        raise ValueError(f"k-NN edges need 0 < k < N, got k = {k} and N = {count}")
    nodes = nodes if nodes.dtype == torch.float64 else nodes.float()
    # exact differences: the product form of cdist loses the small distances between near duplicates
    distance = torch.cdist(nodes, nodes, compute_mode="donot_use_mm_for_euclid_dist")
    distance.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    neighbours = distance.sort(dim=2, stable=True).indices[:, :, :k]
    source = torch.arange(count, device=nodes.device).view(1, count, 1).expand(batch, count, k)
    return torch.stack([source, neighbours], dim=-1).flatten(1, 2)
