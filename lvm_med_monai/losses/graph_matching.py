"""Second-order graph matching as a training loss."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from lvm_med_monai.graph import GraphView, gather_nodes, world_size
from lvm_med_monai.losses.presets import GraphMatchingRecipe
from lvm_med_monai.matching import (
    AdaptiveLambda,
    Estimate,
    MatchingProblem,
    combine,
    dual_bound,
    edge_affinity,
    imle,
    local_affinity,
    sinkhorn,
    solve,
    vertex_affinity,
)


def matching_loss(problem: MatchingProblem, estimate: Estimate) -> torch.Tensor:
    """Hamming loss whose gradient on the affinities is that of ``estimate``, divided by the number of graphs.

    ``mean(hamming) + s - detach(s)`` with ``s = mean(<c_v, g_v> + <c_e, g_e>)``. The estimate is a constant, so scaling
    the loss, adding up batches or averaging over devices scales the gradient and changes nothing else.

    Args:
        problem: affinities inside autograd.
        estimate: gradient estimate of the same problems.

    Returns:
        Scalar; its value is the Hamming loss of Eq. 5, summed over a graph, mean over graphs.
    """
    s = (problem.c_v * estimate.g_v).sum(dim=(1, 2))
    if estimate.v is not None and estimate.shifted is not None:
        for v, shifted in zip(estimate.v, estimate.shifted, strict=True):
            s = s + (problem.edge_score(v) - problem.edge_score(shifted)) / len(estimate.v)
    if estimate.plan is not None and problem.second_order:
        identity = torch.arange(problem.c_v.shape[1], device=s.device).expand(problem.c_v.shape[:2])
        s = s + problem.soft_edge_score(estimate.plan) - problem.edge_score(identity)
    s = s.mean()
    return estimate.hamming.mean().to(s) + s - s.detach()


@dataclass(frozen=True, eq=False)
class MatchingStatistics:
    """What a step tells about the matching. Tensors stay on their device; reading one waits for it.

    Attributes:
        hamming: Hamming loss, mean over graphs.
        accuracy: share of nodes matched to their own second view, under noise (of the plan, for ``sinkhorn``).
        nonzero: share of the graphs with a gradient.
        skipped: share of the second solves that were not needed.
        edge_share: share of the edges in the score of the identity, absolute values.
        problem: problems without noise, outside autograd.
    """

    hamming: torch.Tensor
    accuracy: torch.Tensor
    nonzero: torch.Tensor
    skipped: torch.Tensor
    edge_share: torch.Tensor
    problem: MatchingProblem

    def clean_accuracy(self) -> torch.Tensor:
        """Return the accuracy of the first-order matching without noise: one assignment a graph."""
        # a generator of its own: asking must not change the training
        v = solve(MatchingProblem(self.problem.c_v), generator=torch.Generator().manual_seed(0)).v
        return (v == torch.arange(v.shape[1], device=v.device)).double().mean()

    def objective_gap(self, graphs: int = 1, iterations: int = 20) -> torch.Tensor:
        """Return how far solutions without noise may be from optimal: ``(bound - score) / |score|``, mean over graphs.

        The bound is loose where views differ much: a small gap proves good solutions, a large one proves nothing.

        Args:
            graphs: the first of the batch, a sample.
            iterations: of ``dual_bound``.
        """
        sample = self.problem.select(torch.arange(min(graphs, len(self.problem.c_v)), device=self.problem.c_v.device))
        solution = solve(sample, generator=torch.Generator().manual_seed(0))
        return solution._replace(bound=dual_bound(sample, iterations)).gap().mean()


class GraphMatchingLoss(nn.Module):
    """Match the graphs of two views of the same images; the loss counts the nodes that miss their own image.

    The module has no parameters. It computes in float32 (float64 for float64 features), also under autocast. All of it
    compiles as one graph: ``torch.compile(loss, fullgraph=True)``.

    Args:
        recipe: settings; see ``preset``.
        seed: seed of the noise and of the solver's relabelling, at least 0. It and the number of steps are part of the
            module's state, so that training resumes as it would have gone on. Use another seed on each device. With
            gathered graphs, other seeds give other noise samples of the same graphs, and equal seeds the loss of one
            process.

    Example:
        >>> from lvm_med_monai.graph import GraphEncoder
        >>> from lvm_med_monai.losses import preset
        >>> recipe = preset("stable", graph_size=16, local="none", estimator="imle")
        >>> graphs = GraphEncoder(128, recipe.graph_size, recipe.k, recipe.message_passing)
        >>> loss = GraphMatchingLoss(recipe)
        >>> z_s = torch.randn(32, 128, generator=torch.Generator().manual_seed(0))  # projected features of view s
        >>> z_t = z_s + 0.01  # and of view t
        >>> loss(graphs(z_s), graphs(z_t)).item()
        0.0

    References:
        LVM-Med, arXiv 2306.11925, section 3.2, Alg. 1.
    """

    def __init__(self, recipe: GraphMatchingRecipe, seed: int = 0) -> None:
        super().__init__()
        self.recipe = recipe
        # seed and steps; no buffer, which would move to a GPU and have to be waited for
        self.key = torch.tensor([seed, 0])
        self.adaptive = AdaptiveLambda(recipe.lambda_) if recipe.adaptive else None
        self.statistics: MatchingStatistics | None = None

    def forward(
        self,
        view_s: GraphView,
        view_t: GraphView,
        maps_s: torch.Tensor | None = None,
        maps_t: torch.Tensor | None = None,
        positions_s: torch.Tensor | None = None,
        positions_t: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the loss of one step, a scalar; node i of both graphs shows the same image.

        Args:
            view_s: graphs of the first view.
            view_t: graphs of the second view.
            maps_s: dense features of the first view, shape (B, N, D, R, S); with gathered graphs, of this rank's nodes.
                Needed for a local term.
            maps_t: dense features of the second view.
            positions_s: centres of the map cells in normalised image coordinates, shape (B, N, R, S, 2), mirrored where
                the view was flipped. Needed for ``local="feature+location"``.
            positions_t: the same for the second view.

        Raises:
            ValueError: maps or positions that the recipe needs are missing, or shapes do not fit together.
        """
        with torch.autocast(view_s.h.device.type, enabled=False):
            problem = self.problem(view_s, view_t, maps_s, maps_t, positions_s, positions_t)
            estimate = self.estimate(problem)
            if self.adaptive is not None and self.training:
                self.adaptive.update(estimate)
            self.statistics = _statistics(problem, estimate)
            return matching_loss(problem, estimate)

    def problem(
        self,
        view_s: GraphView,
        view_t: GraphView,
        maps_s: torch.Tensor | None = None,
        maps_t: torch.Tensor | None = None,
        positions_s: torch.Tensor | None = None,
        positions_t: torch.Tensor | None = None,
    ) -> MatchingProblem:
        """Return the matching problems of two views, without noise and inside autograd; arguments as ``forward``."""
        recipe = self.recipe
        h_s, h_t = _full_precision(view_s.h), _full_precision(view_t.h)
        nodes = recipe.graph_size * (world_size() if recipe.gathered else 1)
        if h_s.shape != h_t.shape or h_s.shape[1] != nodes:
            raise ValueError(
                f"both views must have shape (B, {nodes}, C), got {tuple(h_s.shape)} and {tuple(h_t.shape)}"
            )
        c_v = vertex_affinity(h_s, h_t)
        if recipe.local != "none":
            local = self._local(maps_s, maps_t, positions_s, positions_t)
            c_v = combine(recipe.alpha, c_v, local)
        if not recipe.second_order:
            return MatchingProblem(c_v)
        return MatchingProblem(
            c_v,
            view_s.edges,
            view_t.edges,
            d_s=edge_affinity(h_s, view_s.edges),
            d_t=edge_affinity(h_t, view_t.edges),
            edge_weight=recipe.weight_of_edges,
        )

    def _local(self, *parts: torch.Tensor | None) -> torch.Tensor:
        """Local term of maps and positions of both views, shape (B, N, N)."""
        recipe = self.recipe
        if parts[0] is None or parts[1] is None:
            raise ValueError(f"local={recipe.local!r} needs maps_s and maps_t; or set local='none'")
        located = recipe.local == "feature+location"
        used = [
            None if x is None else gather_nodes(_full_precision(x)) if recipe.gathered else _full_precision(x)
            for x in (parts if located else parts[:2])
        ]
        cells_s, cells_t = (x.flatten(3).mT for x in used[:2] if x is not None)
        grid_s, grid_t = (None if x is None else x.flatten(2, 3) for x in (used[2:] if located else (None, None)))
        gamma = recipe.matches_kept(cells_s.shape[2])
        location = "all" if located else "none"
        return local_affinity(cells_s, cells_t, gamma, grid_s, grid_t, location, recipe.vertex_form)

    def estimate(self, problem: MatchingProblem) -> Estimate:
        """Return the gradient estimate that the recipe names."""
        recipe = self.recipe
        if recipe.estimator == "sinkhorn":
            return sinkhorn(problem, recipe.temperature)
        return imle(
            problem,
            recipe.lambda_ if self.adaptive is None else self.adaptive.value,
            recipe.samples,
            recipe.vertex_noise,
            recipe.edge_noise,
            recipe.noise_centred,
            recipe.margin,
            generator=self._next_key(),
        )

    def _next_key(self) -> torch.Tensor:
        self.key = self.key + torch.tensor([0, 1])
        return self.key

    def get_extra_state(self) -> torch.Tensor:
        """Return seed and steps, for checkpoints."""
        return self.key.clone()

    def set_extra_state(self, state: torch.Tensor) -> None:
        """Restore seed and steps."""
        self.key = state.cpu().clone()


def _full_precision(x: torch.Tensor) -> torch.Tensor:
    return x if x.dtype == torch.float64 else x.float()


@torch.no_grad()
def _statistics(problem: MatchingProblem, estimate: Estimate) -> MatchingStatistics:
    nodes = problem.c_v.shape[1]
    identity = torch.arange(nodes, device=problem.c_v.device).expand(problem.c_v.shape[:2])
    vertex, edge = problem.vertex_score(identity).abs(), problem.edge_score(identity).abs()
    return MatchingStatistics(
        hamming=estimate.hamming.mean(),
        accuracy=1 - estimate.hamming.mean() / (2 * nodes),
        nonzero=estimate.nonzero.mean(),
        skipped=estimate.skipped.mean(),
        edge_share=(edge / (vertex + edge).clamp(min=torch.finfo(edge.dtype).tiny)).mean(),
        problem=problem.detach(),
    )
