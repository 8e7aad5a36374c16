"""Second-order matching of one large graph without its edge matrix: Frank-Wolfe on the factors of the edges."""

from __future__ import annotations

from typing import NamedTuple

import torch

from lvm_med_monai.matching.lap import assign
from lvm_med_monai.matching.problem import MatchingProblem
from lvm_med_monai.matching.sinkhorn import sinkhorn_plan

STARTS = ("uniform", "first order", "sinkhorn")
SINKHORN_TEMPERATURE = 0.1  # of the soft start, relative to the largest vertex affinity
SINKHORN_UP_TO = 1024  # nodes; above, the product of the soft start costs more than the whole ascent
PART = 2**22  # numbers of a temporary
TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-9}  # relative improvement below which a step counts as none


class Ascent(NamedTuple):
    """One run of Frank-Wolfe on one graph.

    Attributes:
        v: best permutation met, shape (N,).
        score: its score.
        objective: score of the doubly stochastic matrix before each step; it never falls.
    """

    v: torch.Tensor
    score: float
    objective: list[float]


def solve_edge_free(
    problem: MatchingProblem,
    iterations: int = 30,
    patience: int = 3,
    swap_rounds: int = 100,
    starts: tuple[str, ...] | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Solve square second-order problems graph by graph; see ``solve``.

    Memory and time hold for a few thousand nodes: about ten N x N matrices, of the dtype of ``c_v``, and at a
    permutation the affinities of about ``2 N k^2`` pairs of edges, instead of ``(N k)^2``. Deterministic.

    Args:
        problem: problems with edge factors, N = M, already relabelled at random.
        iterations: most Frank-Wolfe steps of a start.
        patience: Frank-Wolfe steps without improvement before a start stops.
        swap_rounds: most rounds of exchanges of two targets on the best result; 0 polishes nothing.
        starts: of ``"uniform"``, ``"first order"`` and ``"sinkhorn"``; None: all, above 1,024 nodes the first two.

    Returns:
        Best permutations, shape (B, N), and Frank-Wolfe steps of each graph over all starts, shape (B,).

    Raises:
        ValueError: the problem is not square or has no factors, or a start is unknown.
    """
    batch, n, m = problem.c_v.shape
    if n != m:
        raise ValueError(f"the edge-free solver needs square problems, got c_v of shape {(batch, n, m)}")
    if starts is None:
        starts = STARTS if n <= SINKHORN_UP_TO else STARTS[:2]
    if not starts or not set(starts) <= set(STARTS):
        raise ValueError(f"starts must be some of {', '.join(STARTS)}, got {starts!r}")
    found = [_solve_one(problem, b, iterations, patience, swap_rounds, starts) for b in range(batch)]
    v = torch.stack([v for v, _ in found]) if found else problem.c_v.new_zeros(0, n, dtype=torch.int64)
    return v, torch.tensor([steps for _, steps in found], dtype=torch.int64, device=v.device)


def _solve_one(
    problem: MatchingProblem, b: int, iterations: int, patience: int, swap_rounds: int, starts: tuple[str, ...]
) -> tuple[torch.Tensor, int]:
    c_v = problem.c_v[b].detach().contiguous()
    c_v = c_v if c_v.dtype == torch.float64 else c_v.float()
    term = FactoredEdgeTerm(problem, b)
    best, steps = None, 0
    for start in starts:
        ascent = frank_wolfe(term, c_v, *_start(term, c_v, start), iterations, patience)
        steps += len(ascent.objective)
        best = ascent if best is None or ascent.score > best.score else best
    if "first order" in starts and best is not None:
        # Frank-Wolfe does not record its start
        v = assign(-c_v[None])[0]
        score = _score(c_v, v, term.gradient_at(v))
        best = Ascent(v, score, []) if score > best.score else best
    if best is None:
        raise ValueError("no start was given")
    return improve_by_swaps(term, c_v, best.v, swap_rounds), steps


class FactoredEdgeTerm:
    """The second-order term of one graph, from the factors of its edges: see ``EdgeTerm`` for H.

    Args:
        problem: second-order problems with factors; N = M.
        b: which of them.
    """

    def __init__(self, problem: MatchingProblem, b: int) -> None:
        if problem.d_s is None or problem.d_t is None or problem.edges_s is None or problem.edges_t is None:
            raise ValueError("the edge-free solver needs the factors d_s and d_t of the edge affinities, not c_e")
        self.nodes = problem.c_v.shape[1]
        self.weight = problem.edge_weight
        dtype = torch.float64 if problem.c_v.dtype == torch.float64 else torch.float32
        kept_s, kept_t = (edges[b, :, 0] >= 0 for edges in (problem.edges_s, problem.edges_t))
        self.edges_s, self.edges_t = problem.edges_s[b, kept_s].T, problem.edges_t[b, kept_t].T
        self.d_s, self.d_t = problem.d_s[b, kept_s].detach().to(dtype), problem.d_t[b, kept_t].detach().to(dtype)
        # target edges sorted by source and by neighbour, and where those of each node begin
        self.order = [end.argsort(stable=True) for end in self.edges_t]
        self.degree = [torch.bincount(end, minlength=self.nodes) for end in self.edges_t]
        self.first = [degree.cumsum(0) - degree for degree in self.degree]
        self.cell, self.by_cell = (self.edges_t[0] * self.nodes + self.edges_t[1]).sort()

    def gradient_at(self, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ``H V`` at a permutation as cells i * N + a and their values; a cell may occur several times.

        Source edge (i, j) pays i -> a for each target edge (a, b) that enters b = v(j), and j -> b for each that leaves
        a = v(i).
        """
        cells, values = [], []
        for end in (0, 1):
            edge, pair = self._pairs(v[self.edges_s[1 - end]], 1 - end)
            cells.append(self.edges_s[end][edge] * self.nodes + self.edges_t[end][pair])
            values.append(self.affinity(edge, pair))
        return torch.cat(cells), torch.cat(values)

    def _pairs(self, node: torch.Tensor, end: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Each source edge e beside each target edge that has its ``end`` at ``node[e]``."""
        count = self.degree[end][node]
        edge = torch.arange(len(node), device=node.device).repeat_interleave(count)
        rank = torch.arange(len(edge), device=node.device) - (count.cumsum(0) - count)[edge]
        return edge, self.order[end][self.first[end][node[edge]] + rank]

    def affinity(self, edge: torch.Tensor, pair: torch.Tensor) -> torch.Tensor:
        """Edge affinities of pairs of edges, shape (pairs,)."""
        rows = max(1, PART // self.d_s.shape[1])
        parts = zip(edge.split(rows), pair.split(rows), strict=True)
        return self.weight * torch.cat([(self.d_s[e] * self.d_t[f]).sum(dim=1) for e, f in parts])

    def uniform_gradient(self) -> torch.Tensor:
        """Return ``H V`` for V = 1 / N everywhere, shape (N, N): two products of sums of factors at the nodes."""
        total = self.d_s.new_zeros(self.nodes, self.nodes)
        for end in (0, 1):
            at_s, at_t = (
                d.new_zeros(self.nodes, d.shape[1]).index_add_(0, edges[end], d)
                for d, edges in ((self.d_s, self.edges_s), (self.d_t, self.edges_t))
            )
            total.addmm_(at_s, at_t.T)
        return total * (self.weight / self.nodes)

    def gradient(self, plan: torch.Tensor) -> torch.Tensor:
        """Return ``H V`` of any matrix, shape (N, N). All E F edge affinities are computed, a few rows at a time."""
        total = torch.zeros_like(plan)
        rows = max(1, PART // max(1, self.d_t.shape[0]))
        for part in torch.arange(self.d_s.shape[0], device=plan.device).split(rows):
            c_e = self.weight * (self.d_s[part] @ self.d_t.T)
            for end in (0, 1):
                paid = c_e * plan[self.edges_s[1 - end][part]][:, self.edges_t[1 - end]]
                at_t = torch.zeros(len(part), self.nodes, dtype=plan.dtype, device=plan.device)
                total.index_add_(0, self.edges_s[end][part], at_t.index_add_(1, self.edges_t[end], paid))
        return total

    def between(self, edge: torch.Tensor, source: torch.Tensor, neighbour: torch.Tensor) -> torch.Tensor:
        """What source edges pay if their ends go to ``source`` and ``neighbour``; 0 without such a target edge."""
        wanted = source * self.nodes + neighbour
        place = torch.searchsorted(self.cell, wanted).clamp(max=len(self.cell) - 1)
        found = self.cell[place] == wanted
        return torch.where(found, self.affinity(edge, self.by_cell[place]), 0.0)


def frank_wolfe(
    term: FactoredEdgeTerm, c_v: torch.Tensor, plan: torch.Tensor, h_plan: torch.Tensor, iterations: int, patience: int
) -> Ascent:
    """Maximise ``s(V) = <C, V> + <V, H V> / 2`` from ``plan`` by exact assignments and exact line search.

    As ``frank_wolfe.frank_wolfe``, with H V at permutations as a list of its entries. ``plan`` and ``h_plan = H plan``
    are overwritten.
    """
    n, tolerance = len(c_v), TOLERANCE[c_v.dtype]
    row = torch.arange(n, device=c_v.device)
    at_plan, h_at_plan = _dot(c_v, plan), _dot(h_plan, plan)
    best, best_v, stale = -torch.inf, row, 0
    objective: list[float] = []
    for _ in range(iterations):
        objective.append(at_plan + h_at_plan / 2)
        v = assign(-(c_v + h_plan)[None])[0]
        cells, values = term.gradient_at(v)
        c_at_v = float(c_v[row, v].double().sum())
        h_vv = float(values[v[cells // n] == cells % n].double().sum())
        h_v_plan = float((values * plan.view(-1)[cells]).double().sum())
        score = c_at_v + h_vv / 2
        if not objective[1:] or score > best + tolerance * (1 + abs(best)):
            best, best_v, stale = score, v, 0
        else:
            stale += 1
        linear = c_at_v + h_v_plan - at_plan - h_at_plan
        quadratic = h_vv - 2 * h_v_plan + h_at_plan
        if linear <= tolerance * (1 + abs(objective[-1])) or stale >= patience:
            break
        step = min(1.0, -linear / quadratic) if quadratic < 0 else 1.0
        plan.mul_(1 - step)[row, v] += step
        h_plan.mul_(1 - step).view(-1).index_add_(0, cells, step * values)
        # the products with the new plan follow from those at hand
        at_plan += step * (c_at_v - at_plan)
        h_at_plan = (1 - step) ** 2 * h_at_plan + 2 * step * (1 - step) * h_v_plan + step**2 * h_vv
    return Ascent(best_v, best, objective)


def improve_by_swaps(term: FactoredEdgeTerm, c_v: torch.Tensor, v: torch.Tensor, rounds: int) -> torch.Tensor:
    """Exchange the targets of two source nodes, many disjoint pairs a round, until no exchange raises the score.

    A round takes all pairs that are each other's best exchange. Exchanges of neighbouring nodes may spoil each other:
    where the score does not rise, only the best pair is exchanged.
    """
    n = len(c_v)
    row = torch.arange(n, device=c_v.device)
    h_v = term.gradient_at(v)
    score = _score(c_v, v, h_v)
    for _ in range(rounds):
        gain = _swap_gains(term, c_v, v, h_v)
        largest, partner = gain.max(dim=1)
        least = TOLERANCE[c_v.dtype] * (1 + float(gain.abs().max()))
        first = ((partner[partner] == row) & (row < partner) & (largest > least)).nonzero().squeeze(1)
        first = first[largest[first].argsort(descending=True)]
        for taken in (first, first[:1]):
            swapped = v.clone()
            swapped[taken], swapped[partner[taken]] = v[partner[taken]], v[taken]
            h_swapped = term.gradient_at(swapped)
            new = _score(c_v, swapped, h_swapped)
            if new > score:
                break
        if not new > score:
            break
        v, h_v, score = swapped, h_swapped, new
    return v


def _swap_gains(
    term: FactoredEdgeTerm, c_v: torch.Tensor, v: torch.Tensor, h_v: tuple[torch.Tensor, torch.Tensor]
) -> torch.Tensor:
    """What exchanging the targets of nodes i and l gains, for all pairs, shape (N, N)."""
    gradient = c_v.view(-1).index_add(0, *h_v).view_as(c_v)
    gain = gradient[:, v]
    lost = gain.diagonal().clone()
    gain = gain + gain.T - (lost.unsqueeze(1) + lost)
    # H between the two gained and the two lost pairs: only along source edges
    i, j = term.edges_s
    edge = torch.arange(len(i), device=v.device)
    between = term.between(edge, v[j], v[i]) + term.between(edge, v[i], v[j])
    return gain.index_put_((torch.cat([i, j]), torch.cat([j, i])), between.repeat(2), accumulate=True)


def _start(term: FactoredEdgeTerm, c_v: torch.Tensor, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """A doubly stochastic start and ``H`` times it."""
    if name == "uniform":
        return torch.full_like(c_v, 1 / len(c_v)), term.uniform_gradient()
    if name == "sinkhorn":
        largest = c_v.abs().max().clamp(min=torch.finfo(c_v.dtype).tiny)
        plan = sinkhorn_plan((c_v / largest)[None], SINKHORN_TEMPERATURE)[0]
        return plan, term.gradient(plan)
    v = assign(-c_v[None])[0]
    plan = torch.zeros_like(c_v).scatter_(1, v.unsqueeze(1), 1.0)
    return plan, torch.zeros_like(c_v).view(-1).index_add_(0, *term.gradient_at(v)).view_as(c_v)


def _score(c_v: torch.Tensor, v: torch.Tensor, h_v: tuple[torch.Tensor, torch.Tensor]) -> float:
    """``<C, V> + <V, H V> / 2``."""
    cells, values = h_v
    vertex = c_v.gather(1, v.unsqueeze(1)).double().sum()
    return float(vertex + values[v[cells // len(v)] == cells % len(v)].double().sum() / 2)


def _dot(x: torch.Tensor, y: torch.Tensor) -> float:
    """Inner product, summed in rows first so that float32 keeps its digits."""
    return float((x * y).sum(dim=1).double().sum())
