"""The second-order term of a batch of problems, laid out for the solvers."""

from __future__ import annotations

import torch
from torch.nn.functional import one_hot

from lvm_med_monai.matching.problem import MatchingProblem


class EdgeTerm:
    """``q(V) = sum over edges (i,j), (a,b) of c_e[ij, ab] V[i, a] V[j, b]`` of square problems, in float64.

    ``H`` denotes the symmetric N^2 x N^2 matrix with ``q(V) = <V, H V> / 2``. Padded edges join node 0 to
    itself, without affinity.

    Args:
        problem: second-order problems; N = M.

    Attributes:
        nodes: N.
        c_e: edge affinities with padding zeroed, shape (B, E, F).
        source_s: source node of each source edge, shape (B, E); ``neighbour_s`` its other end.
        source_t: the same of the target graph, shape (B, F); ``neighbour_t`` its other end.
    """

    def __init__(self, problem: MatchingProblem) -> None:
        if problem.edges_s is None or problem.edges_t is None:
            raise ValueError("a first-order problem has no edge term")
        self.nodes = problem.c_v.shape[1]
        paid = (problem.edges_s[..., :1] >= 0) & (problem.edges_t[..., :1] >= 0).mT
        c_e = problem.edge_affinities().detach().double()
        self.c_e = torch.where(paid, c_e, 0.0)
        self.source_s, self.neighbour_s = problem.edges_s.clamp(min=0).unbind(dim=2)
        self.source_t, self.neighbour_t = problem.edges_t.clamp(min=0).unbind(dim=2)

    def gradient(self, v: torch.Tensor) -> torch.Tensor:
        """Return ``H V`` for any real matrices, one a graph, shape (B, N, N).

        With incidence matrices S (sources) and D (neighbours) of edges x nodes this is
        ``S_s^T (c_e * (D_s V D_t^T)) S_t + D_s^T (c_e * (S_s V S_t^T)) D_t``.
        """
        out_s, in_s, out_t, in_t = (
            one_hot(end, self.nodes).to(self.c_e)
            for end in (self.source_s, self.neighbour_s, self.source_t, self.neighbour_t)
        )
        at_neighbours = self.c_e * (in_s @ v @ in_t.mT)
        at_sources = self.c_e * (out_s @ v @ out_t.mT)
        return out_s.mT @ at_neighbours @ out_t + in_s.mT @ at_sources @ in_t
