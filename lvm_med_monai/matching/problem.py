"""A batch of second-order matching problems."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch

Parts = tuple[
    torch.Tensor,
    torch.Tensor | None,
    torch.Tensor | None,
    torch.Tensor | None,
    torch.Tensor | None,
    torch.Tensor | None,
    float,
]
"""Fields of a problem in their order, as operators of torch take them."""


@dataclass(frozen=True, eq=False)
class MatchingProblem:
    """Affinities of vertex pairs and edge pairs, maximised over injective ``v`` (paper Eq. 4 with the sign turned).

    ``score(v) = sum_i c_v[i, v(i)] + sum_{(i,j), (a,b)} c_e[ij, ab] [v(i) = a] [v(j) = b]``

    over source edges (i, j) and target edges (a, b). Edges are directed: (i, j) and (j, i) are different edges. The
    edge affinities come either as ``c_e`` or as factors with ``c_e = edge_weight * d_s d_t^T``. Without edges the
    problem is first order. Rows of ``edges_s`` and ``edges_t`` that hold -1 pad graphs with fewer edges.

    Under ``torch.compile`` shapes are checked when the problem is traced, and values when an operator solves it.

    Args:
        c_v: vertex affinities, shape (B, N, M), finite.
        edges_s: edges of the source graphs, shape (B, E, 2), int64.
        edges_t: edges of the target graphs, shape (B, F, 2), int64.
        c_e: edge affinities, shape (B, E, F).
        d_s: factors of the source edges, shape (B, E, C), instead of ``c_e``.
        d_t: factors of the target edges, shape (B, F, C), instead of ``c_e``.
        edge_weight: weight of the edge affinities, 1 in the paper. Only with factors.

    Raises:
        ValueError: shapes do not fit together, an affinity is NaN or infinite, an edge is out of range, repeated or a
            self-loop.

    References:
        LVM-Med, arXiv 2306.11925, Eq. 4.
    """

    c_v: torch.Tensor
    edges_s: torch.Tensor | None = None
    edges_t: torch.Tensor | None = None
    c_e: torch.Tensor | None = None
    d_s: torch.Tensor | None = None
    d_t: torch.Tensor | None = None
    edge_weight: float = 1.0

    def __post_init__(self) -> None:
        if self.c_v.ndim != 3 or not self.c_v.is_floating_point():
            raise ValueError(f"c_v must be floating and of shape (B, N, M), got {_describe(self.c_v)}")
        _check_finite("c_v", self.c_v)
        parts = (self.edges_s, self.edges_t, self.c_e, self.d_s, self.d_t)
        if all(part is None for part in parts):
            return
        if self.edges_s is None or self.edges_t is None:
            raise ValueError("second-order problems need both edges_s and edges_t")
        batch, n, m = self.c_v.shape
        _check_edges("edges_s", self.edges_s, batch, n)
        _check_edges("edges_t", self.edges_t, batch, m)
        self._check_edge_affinities(self.edges_s.shape[1], self.edges_t.shape[1])

    def _check_edge_affinities(self, edges_s: int, edges_t: int) -> None:
        batch = len(self.c_v)
        if (self.c_e is None) == (self.d_s is None) or (self.d_s is None) != (self.d_t is None):
            raise ValueError("edges need either c_e or both factors d_s and d_t")
        if self.c_e is not None:
            if self.edge_weight != 1.0:
                raise ValueError("edge_weight belongs to the factors d_s and d_t; c_e is taken as it is")
            if self.c_e.shape != (batch, edges_s, edges_t):
                raise ValueError(f"c_e must have shape {(batch, edges_s, edges_t)}, got {_describe(self.c_e)}")
            _check_finite("c_e", self.c_e)
        if self.d_s is not None and self.d_t is not None:
            channels = self.d_s.shape[-1]
            for name, factor, edges in (("d_s", self.d_s, edges_s), ("d_t", self.d_t, edges_t)):
                if factor.shape != (batch, edges, channels):
                    raise ValueError(f"{name} must have shape {(batch, edges, channels)}, got {_describe(factor)}")
                _check_finite(name, factor)

    @property
    def second_order(self) -> bool:
        """Whether the problem has edges."""
        return self.edges_s is not None

    def edge_affinities(self) -> torch.Tensor:
        """Return the edge affinities as one matrix a graph, shape (B, E, F); entries of padded edges are arbitrary."""
        if self.c_e is not None:
            return self.c_e
        if self.d_s is None or self.d_t is None:
            raise ValueError("a first-order problem has no edge affinities")
        return self.edge_weight * (self.d_s @ self.d_t.transpose(1, 2))

    def score(self, v: torch.Tensor) -> torch.Tensor:
        """Score assignments. Differentiable in ``c_v`` and in ``c_e`` or its factors.

        Touches N vertex and at most E edge affinities a graph: the only pair a source edge can be paid with is the
        target edge between the images of its ends.

        Args:
            v: target of each source node, shape (B, N), int64; -1 leaves a node unmatched.

        Returns:
            Scores, shape (B,).
        """
        return self.vertex_score(v) + self.edge_score(v)

    def vertex_score(self, v: torch.Tensor) -> torch.Tensor:
        """Return the first-order part of ``score``, shape (B,)."""
        if v.shape != self.c_v.shape[:2]:
            raise ValueError(f"v must have shape {tuple(self.c_v.shape[:2])}, got {tuple(v.shape)}")
        values = self.c_v.gather(2, v.clamp(min=0).unsqueeze(2)).squeeze(2)
        return torch.where(v >= 0, values, 0.0).sum(dim=1)

    def edge_score(self, v: torch.Tensor) -> torch.Tensor:
        """Return the second-order part of ``score``, shape (B,)."""
        if self.edges_s is None:
            return self.c_v.new_zeros(len(self.c_v))
        ends = v.gather(1, self.edges_s.clamp(min=0).flatten(1)).view_as(self.edges_s)
        cell = ends[..., 0] * self.c_v.shape[2] + ends[..., 1]
        matched = (self.edges_s[..., 0] >= 0) & (ends >= 0).all(dim=2)
        paired = self.target_edge.gather(1, torch.where(matched, cell, 0))
        return torch.where(matched & (paired >= 0), self.paid(paired), 0.0).sum(dim=1)

    def paid(self, paired: torch.Tensor) -> torch.Tensor:
        """Return the affinity of each source edge with the target edge ``paired``, shape (B, E); of -1 any number.

        From the factors, or from all of ``c_e`` where that is smaller: N = 16, k = 5 and C = 128, for instance.
        """
        paired = paired.clamp(min=0).unsqueeze(2)
        if self.d_s is not None and self.d_t is not None and self.d_t.shape[2] <= self.d_t.shape[1]:
            partner = self.d_t.gather(1, paired.expand(-1, -1, self.d_t.shape[2]))
            return self.edge_weight * (self.d_s * partner).sum(dim=2)
        return self.edge_affinities().gather(2, paired).squeeze(2)

    def soft_edge_score(self, plan: torch.Tensor) -> torch.Tensor:
        """Return ``sum c_e[ij, ab] P_ia P_jb`` of doubly stochastic plans of shape (B, N, M), shape (B,)."""
        if self.edges_s is None or self.edges_t is None:
            return self.c_v.new_zeros(len(self.c_v))
        paid = (self.edges_s[..., :1] >= 0) & (self.edges_t[..., :1] >= 0).mT
        weight = torch.where(paid, 1.0, 0.0).to(plan)
        for end in (0, 1):
            rows = self.edges_s[..., end].clamp(min=0).unsqueeze(2).expand(-1, -1, plan.shape[2])
            columns = self.edges_t[..., end].clamp(min=0).unsqueeze(1).expand(-1, rows.shape[1], -1)
            weight = weight * plan.gather(1, rows).gather(2, columns)
        return (self.edge_affinities() * weight).sum(dim=(1, 2))

    @property
    def source_edge(self) -> torch.Tensor:
        """Index of source edge (i, j) at cell i * N + j, -1 where there is none, shape (B, N * N)."""
        return self._once("source_edge", self.edges_s, self.c_v.shape[1])

    @property
    def target_edge(self) -> torch.Tensor:
        """Index of target edge (a, b) at cell a * M + b, -1 where there is none, shape (B, M * M)."""
        return self._once("target_edge", self.edges_t, self.c_v.shape[2])

    def _once(self, name: str, edges: torch.Tensor | None, nodes: int) -> torch.Tensor:
        # not a cached_property: its lock, which Python 3.11 still takes, cannot be traced
        if torch.compiler.is_compiling():
            return _edge_table(edges, nodes)
        if name not in self.__dict__:
            self.__dict__[name] = _edge_table(edges, nodes)
        return self.__dict__[name]

    def parts(self) -> Parts:
        """Return the fields, in order and outside autograd: the arguments that make this problem again."""
        return self.detach()._parts()

    @classmethod
    def of_parts(cls, parts: Parts, check: bool) -> MatchingProblem:
        """Make a problem of ``parts``; without ``check`` they must come from a problem that was checked."""
        if check or torch.compiler.is_compiling():
            return cls(*parts)
        problem = object.__new__(cls)
        for field, value in zip(fields(cls), parts, strict=True):
            object.__setattr__(problem, field.name, value)
        return problem

    def detach(self) -> MatchingProblem:
        """Return the same problem outside autograd."""
        return self._map(lambda tensor: tensor.detach())

    def select(self, index: torch.Tensor) -> MatchingProblem:
        """Return the problems at ``index`` (int64, repetitions allowed) of the batch."""
        return self._map(lambda tensor: tensor[index])

    def _parts(self) -> Parts:
        return self.c_v, self.edges_s, self.edges_t, self.c_e, self.d_s, self.d_t, self.edge_weight

    def _map(self, change: Callable[[torch.Tensor], torch.Tensor]) -> MatchingProblem:
        c_v, edges_s, edges_t, c_e, d_s, d_t = (None if part is None else change(part) for part in self._parts()[:-1])
        assert c_v is not None
        return MatchingProblem.of_parts((c_v, edges_s, edges_t, c_e, d_s, d_t, self.edge_weight), check=False)


def _describe(x: torch.Tensor) -> str:
    return f"{str(x.dtype).removeprefix('torch.')} {tuple(x.shape)}"


def _check_finite(name: str, x: torch.Tensor) -> None:
    if torch.compiler.is_compiling():
        return
    if not torch.isfinite(x.detach()).all():
        raise ValueError(f"{name} of shape {tuple(x.shape)} holds NaN or infinite values")


def _check_edges(name: str, edges: torch.Tensor, batch: int, nodes: int) -> None:
    if edges.ndim != 3 or edges.shape[0] != batch or edges.shape[2] != 2 or edges.dtype != torch.int64:
        raise ValueError(f"{name} must be int64 of shape ({batch}, edges, 2), got {_describe(edges)}")
    if torch.compiler.is_compiling():
        return
    source, neighbour = edges.unbind(dim=2)
    padding = (source == -1) & (neighbour == -1)
    inside = (source >= 0) & (source < nodes) & (neighbour >= 0) & (neighbour < nodes)
    if not (padding | inside).all():
        raise ValueError(f"{name} must hold node indices in 0 .. {nodes - 1}, or -1 twice for padding")
    if (inside & (source == neighbour)).any():
        raise ValueError(f"{name} holds a self-loop")
    cell = torch.where(inside, source * nodes + neighbour, nodes * nodes)
    count = cell.new_zeros(batch, nodes * nodes + 1).scatter_add(1, cell, torch.ones_like(cell))
    if (count[:, :-1] > 1).any():
        raise ValueError(f"{name} holds the same edge twice")


def _edge_table(edges: torch.Tensor | None, nodes: int) -> torch.Tensor:
    if edges is None:
        raise ValueError("a first-order problem has no edges")
    source, neighbour = edges.unbind(dim=2)
    # padded edges write to one extra cell that is cut off
    cell = torch.where(source >= 0, source * nodes + neighbour, nodes * nodes)
    index = torch.arange(cell.shape[1], device=cell.device).expand_as(cell)
    return index.new_full((len(edges), nodes * nodes + 1), -1).scatter(1, cell, index)[:, :-1]
