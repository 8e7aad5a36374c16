"""The second-order term of larger graphs as incidence lists."""

from __future__ import annotations

import torch
from torch.nn.functional import pad

from lvm_med_monai.matching.problem import MatchingProblem
from lvm_med_monai.matching.qap.quadratic import EdgeTerm


class ListedEdgeTerm(EdgeTerm):
    """Lists the edges that leave and enter each node: at a permutation only pairs of matched edges matter.

    Each side gets one more edge, from node 0 to itself and without affinity, that pads the lists. The solvers run
    several starts on each graph: ``v`` has one row a start, shape (P, N), and ``graph`` (P,) names the graph of each.

    Args:
        problem: second-order problems; N = M.
    """

    def __init__(self, problem: MatchingProblem) -> None:
        super().__init__(problem)
        edges_s, edges_t = problem.edges_s, problem.edges_t
        if edges_s is None or edges_t is None:
            raise ValueError("a first-order problem has no edge term")
        self.c_e = pad(self.c_e, (0, 1, 0, 1))
        self.source_s, self.neighbour_s = pad(self.source_s, (0, 1)), pad(self.neighbour_s, (0, 1))
        self.source_t, self.neighbour_t = pad(self.source_t, (0, 1)), pad(self.neighbour_t, (0, 1))
        self.leaving_s, self.entering_s = (_incidence(edges_s[..., end], self.nodes) for end in (0, 1))
        self.leaving_t, self.entering_t = (_incidence(edges_t[..., end], self.nodes) for end in (0, 1))
        self.source_edge = torch.where(problem.source_edge >= 0, problem.source_edge, edges_s.shape[1])
        self.target_edge = torch.where(problem.target_edge >= 0, problem.target_edge, edges_t.shape[1])

    def gradient_at(self, v: torch.Tensor, graph: torch.Tensor) -> torch.Tensor:
        """Return ``H V`` at permutations ``v`` of shape (P, N), shape (P, N, N)."""
        source, neighbour = self.source_s[graph], self.neighbour_s[graph]
        edge = torch.arange(source.shape[1], device=v.device).view(1, -1, 1)
        # source edge (i, j) pays i -> a for each target edge (a, b) that enters b = v(j), and j -> b likewise
        entering = _take(self.entering_t, graph, v.gather(1, neighbour))
        leaving = _take(self.leaving_t, graph, v.gather(1, source))
        gradient = self.c_e.new_zeros(len(v), self.nodes**2)
        for node, pair, end in ((source, entering, self.source_t), (neighbour, leaving, self.neighbour_t)):
            cell = node.unsqueeze(2) * self.nodes + _take(end, graph, pair)
            gradient.scatter_add_(1, cell.flatten(1), self._values(graph, edge, pair).flatten(1))
        return gradient.view(len(v), self.nodes, self.nodes)

    def add_rows(self, gradient: torch.Tensor, graph: torch.Tensor, cells: torch.Tensor, sign: torch.Tensor) -> None:
        """Add ``sum_c sign[c] * H[cell c]`` to ``gradient`` in place: the change when V gains and loses pairs.

        Args:
            gradient: gradients, shape (P, N * N).
            graph: graph of each row, shape (P,).
            cells: pairs as i * N + a, shape (P, 4).
            sign: +1 for gained and -1 for lost pairs, shape (4,).
        """
        i, a = cells // self.nodes, cells % self.nodes
        for list_s, list_t, end_s, end_t in (
            (self.leaving_s, self.leaving_t, self.neighbour_s, self.neighbour_t),
            (self.entering_s, self.entering_t, self.source_s, self.source_t),
        ):
            edge, pair = _take(list_s, graph, i).unsqueeze(3), _take(list_t, graph, a).unsqueeze(2)
            cell = _take(end_s, graph, edge) * self.nodes + _take(end_t, graph, pair)
            values = self._values(graph, edge, pair) * sign.view(1, -1, 1, 1)
            gradient.scatter_add_(1, cell.flatten(1), values.flatten(1))

    def between(self, first: torch.Tensor, second: torch.Tensor, graph: torch.Tensor) -> torch.Tensor:
        """Return ``H[first, second]`` of pairs of cells i * N + a, shape (P, K)."""
        n = self.nodes
        i, a, j, b = first // n, first % n, second // n, second % n
        edge = _take(self.source_edge, graph, torch.stack([i * n + j, j * n + i]).transpose(0, 1).flatten(1))
        pair = _take(self.target_edge, graph, torch.stack([a * n + b, b * n + a]).transpose(0, 1).flatten(1))
        return self._values(graph, edge, pair).view(len(graph), 2, -1).sum(dim=1)

    def _values(self, graph: torch.Tensor, edge: torch.Tensor, pair: torch.Tensor) -> torch.Tensor:
        """Edge affinities ``c_e[graph, edge, pair]``; the three are broadcast."""
        rows, columns = self.c_e.shape[1:]
        first = graph.view(-1, *[1] * (pair.ndim - 1)) * rows
        return self.c_e.take((first + edge) * columns + pair)


def _take(table: torch.Tensor, graph: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Entries ``table[graph, index]`` of a table of shape (B, rows, ...)."""
    first = graph.view(-1, *[1] * (index.ndim - 1)) * table.shape[1]
    return table.flatten(0, 1)[first + index]


def _incidence(end: torch.Tensor, nodes: int) -> torch.Tensor:
    """Edges at each node, shape (B, N, largest degree), padded with the index of the extra edge."""
    batch, edges = end.shape
    node, order = torch.where(end >= 0, end, nodes).sort(dim=1, stable=True)
    degree = torch.zeros(batch, nodes + 1, dtype=torch.int64, device=end.device)
    degree.scatter_add_(1, node, torch.ones_like(node))
    rank = torch.arange(edges, device=end.device) - (degree.cumsum(1) - degree).gather(1, node)
    width = int(degree[:, :nodes].max()) if edges else 0
    table = torch.full((batch, nodes * width + 1), edges, dtype=torch.int64, device=end.device)
    # padded edges write to one extra cell that is cut off
    cell = torch.where(node < nodes, node * width + rank, nodes * width)
    return table.scatter_(1, cell, order)[:, :-1].view(batch, nodes, width)
