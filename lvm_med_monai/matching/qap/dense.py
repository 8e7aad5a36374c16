"""The second-order term of small graphs as one matrix."""

from __future__ import annotations

import torch
from torch.nn.functional import embedding_bag

from lvm_med_monai.matching.problem import MatchingProblem
from lvm_med_monai.matching.qap.quadratic import EdgeTerm


class DenseEdgeTerm(EdgeTerm):
    """Forms H, N^4 numbers a graph (0.5 MB at N = 16): the fastest layout for many starts on small graphs.

    The solvers run several starts on each graph: ``v`` has one row a start, shape (P, N), and ``graph`` (P,) names the
    graph of each start.

    Args:
        problem: second-order problems; N = M.
    """

    def __init__(self, problem: MatchingProblem) -> None:
        super().__init__(problem)
        batch, n = problem.c_v.shape[:2]
        row = self.source_s.unsqueeze(2) * n + self.source_t.unsqueeze(1)
        column = self.neighbour_s.unsqueeze(2) * n + self.neighbour_t.unsqueeze(1)
        matrix = self.c_e.new_zeros(batch, n**4).scatter_add_(1, (row * n**2 + column).flatten(1), self.c_e.flatten(1))
        matrix = matrix.view(batch, n**2, n**2)
        self.matrix = (matrix + matrix.mT).flatten(0, 1)

    def gradient_at(self, v: torch.Tensor, graph: torch.Tensor) -> torch.Tensor:
        """Return ``H V`` at permutations ``v`` of shape (P, N), shape (P, N, N)."""
        n = self.nodes
        cell = torch.arange(n, device=v.device) * n + v
        rows = embedding_bag(graph.unsqueeze(1) * n**2 + cell, self.matrix, mode="sum")
        return rows.view(len(v), n, n)

    def add_rows(self, gradient: torch.Tensor, graph: torch.Tensor, cells: torch.Tensor, sign: torch.Tensor) -> None:
        """Add ``sum_c sign[c] * H[cell c]`` to ``gradient`` in place: the change when V gains and loses pairs.

        Args:
            gradient: gradients, shape (P, N * N).
            graph: graph of each row, shape (P,).
            cells: pairs as i * N + a, shape (P, 4).
            sign: +1 for gained and -1 for lost pairs, shape (4,).
        """
        index = graph.unsqueeze(1) * self.nodes**2 + cells
        change = embedding_bag(index, self.matrix, mode="sum", per_sample_weights=sign.repeat(len(index), 1))
        gradient += change

    def between(self, first: torch.Tensor, second: torch.Tensor, graph: torch.Tensor) -> torch.Tensor:
        """Return ``H[first, second]`` of pairs of cells i * N + a, shape (P, K)."""
        return self.matrix.take((graph.unsqueeze(1) * self.nodes**2 + first) * self.nodes**2 + second)
