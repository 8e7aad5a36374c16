"""Features -> graphs: cutting a batch, k-NN edges, message passing."""

from __future__ import annotations

from lvm_med_monai.graph.batch import GraphBatch, GraphView, cut_into_graphs
from lvm_med_monai.graph.knn import knn_edges
from lvm_med_monai.graph.message_passing import GraphConvolution, GraphEncoder

__all__ = ["GraphBatch", "GraphConvolution", "GraphEncoder", "GraphView", "cut_into_graphs", "knn_edges"]
