"""Images of a view -> k-NN graphs -> message passing."""

from __future__ import annotations

import torch
from torch import nn

from lvm_med_monai.graph.batch import GraphBatch, GraphView, cut_into_graphs
from lvm_med_monai.graph.gather import gather_nodes
from lvm_med_monai.graph.knn import knn_edges

MESSAGE_PASSING = ("residual", "plain", "none")


class GraphConvolution(nn.Module):
    """Graph convolution on directed k-NN graphs: ``A_hat x W + b`` (paper Eq. 1, without its activation).

    ``A_hat = D^-1/2 (A + I) D^-1/2`` with ``D`` the row sums (out-degrees) of ``A + I``. All of them equal k + 1 in a
    directed k-NN graph, so ``A_hat`` is the mean over a node and its k neighbours.

    Note:
        The paper takes ``D`` from ``A``; Kipf and Welling (arXiv 1609.02907) and this class take it from ``A + I``.

    Args:
        features: channels in and out, C.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, features)

    def forward(self, graphs: GraphBatch) -> torch.Tensor:
        """Return convolved node features, shape (B, N, C)."""
        x = self.linear(graphs.nodes)
        batch, count, channels = x.shape
        neighbour = graphs.edges[..., 1].unsqueeze(-1).expand(-1, -1, channels)
        messages = x.gather(1, neighbour).view(batch, count, graphs.k, channels).sum(dim=2)
        return (x + messages) / (graphs.k + 1)


class GraphEncoder(nn.Module):
    """Cut the images of a view into graphs, connect them and pass messages. Both views share one encoder.

    ``"residual"``: ``h = z + active * gate * GCN(z)`` with a learnable scalar gate. The buffer ``active`` is 0 during a
    warm-up and 1 after it. ``"plain"``: ``h = GCN(z)`` as in the paper, which alone keeps small runs from learning.
    ``"none"``: ``h = z``, no parameters. GCN = two convolutions of ``features`` channels with ReLU between.

    Everything here runs in float32 (or float64), also under autocast.

    Args:
        features: channels of the projected features, C.
        graph_size: nodes of a graph from one rank, N. The images left over from a batch join no graph.
        k: neighbours of each node.
        message_passing: one of ``"residual"``, ``"plain"``, ``"none"``.
        gate: initial value of the residual gate.
        active: False starts a residual encoder in warm-up, until ``set_active(True)``.
        gathered: join the graphs of all ranks: N is then ``graph_size`` times the number of ranks, and every rank holds
            the whole graphs.

    Raises:
        ValueError: unknown ``message_passing``, or k >= graph_size.
    """

    active: torch.Tensor

    def __init__(
        self,
        features: int = 128,
        graph_size: int = 64,
        k: int = 5,
        message_passing: str = "residual",
        gate: float = 0.5,
        active: bool = True,
        gathered: bool = False,
    ) -> None:
        super().__init__()
        if message_passing not in MESSAGE_PASSING:
            raise ValueError(f"message_passing must be one of {', '.join(MESSAGE_PASSING)}, got {message_passing!r}")
        if not 0 < k < graph_size:
            raise ValueError(f"k-NN graphs need 0 < k < graph_size, got k = {k} and graph_size = {graph_size}")
        self.features, self.graph_size, self.k, self.message_passing = features, graph_size, k, message_passing
        self.gathered = gathered
        if message_passing != "none":
            self.convolution1 = GraphConvolution(features)
            self.convolution2 = GraphConvolution(features)
        if message_passing == "residual":
            self.gate = nn.Parameter(torch.tensor(float(gate)))
            self.register_buffer("active", torch.tensor(float(active)))

    def set_active(self, active: bool) -> None:
        """Switch the residual message passing on or off; the other modes have no switch and ignore it."""
        if self.message_passing == "residual":
            self.active.fill_(float(active))

    def forward(self, z: torch.Tensor) -> GraphView:
        """Encode the projected features of one view.

        Args:
            z: projected features of all images of the view, shape (images, C).

        Raises:
            ValueError: wrong shape, or fewer images than ``graph_size``.
        """
        if z.ndim != 2 or z.shape[1] != self.features:
            raise ValueError(f"z must have shape (images, {self.features}), got {tuple(z.shape)}")
        with torch.autocast(z.device.type, enabled=False):
            z = z if z.dtype == torch.float64 else z.float()
            z = cut_into_graphs(z, self.graph_size)
            z = gather_nodes(z) if self.gathered else z
            edges = knn_edges(z.detach(), self.k)
            return GraphView(z, self._pass_messages(z, edges), edges)

    def _pass_messages(self, z: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        if self.message_passing == "none":
            return z
        # computed in the warm-up too: distributed training must not see unused parameters
        h = torch.relu(self.convolution1(GraphBatch(z, edges, self.k)))
        h = self.convolution2(GraphBatch(h, edges, self.k))
        if self.message_passing == "residual":
            return z + self.active * self.gate * h
        return h
