"""Features -> graphs: cutting a batch, gathering over ranks, k-NN edges, message passing."""

from __future__ import annotations

from lvm_med_monai.graph.batch import GraphBatch, GraphView, cut_into_graphs
from lvm_med_monai.graph.gather import gather_nodes, world_size
from lvm_med_monai.graph.knn import knn_edges
from lvm_med_monai.graph.message_passing import GraphConvolution, GraphEncoder

__all__ = [
    "GraphBatch",
    "GraphConvolution",
    "GraphEncoder",
    "GraphView",
    "cut_into_graphs",
    "gather_nodes",
    "knn_edges",
    "world_size",
]
