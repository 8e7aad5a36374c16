"""Settings of the graph-matching loss: every choice of the method is a field."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from math import inf
from typing import Any

CHOICES = {
    "message_passing": ("residual", "plain", "none"),
    "local": ("none", "feature", "feature+location"),
    "vertex_form": ("mean", "sum"),
    "estimator": ("imle", "sinkhorn"),
}
Check = tuple[Callable[[float], bool], str]
POSITIVE: Check = (lambda x: 0 < x < inf, "positive")
NOT_NEGATIVE: Check = (lambda x: 0 <= x < inf, "at least 0")
SHARE: Check = (lambda x: 0 <= x <= 1, "in [0, 1]")
COUNT: Check = (lambda x: x >= 1 and x == int(x), "a whole number of at least 1")
RANGES = {
    "graph_size": COUNT,
    "k": COUNT,
    "gamma": COUNT,
    "samples": COUNT,
    "alpha": SHARE,
    "message_passing_warm_up": SHARE,
    "edge_weight": NOT_NEGATIVE,
    "vertex_noise": NOT_NEGATIVE,
    "edge_noise": NOT_NEGATIVE,
    "margin": NOT_NEGATIVE,
    "lambda_": POSITIVE,
    "temperature": POSITIVE,
}
OPTIONAL = ("edge_weight", "gamma")
GAMMA_SHARE = 0.4  # of the cells of a map: 20 on the paper's 7 x 7 maps


@dataclass(frozen=True)
class GraphMatchingRecipe:
    """Settings of pretraining by graph matching, in the paper's names. The defaults are the preset ``stable``.

    Attributes:
        graph_size: nodes of a graph, N; with ``gathered`` those from one rank.
        k: neighbours of each node.
        message_passing: ``"residual"``, ``"plain"`` (paper) or ``"none"``.
        message_passing_warm_up: share of the training without residual message passing, [0, 1].
        second_order: whether edges count.
        edge_weight: weight of an edge affinity; None: 1 / k.
        alpha: share of the global term in the vertex affinity, [0, 1] (Eq. 3).
        local: ``"none"``, ``"feature"`` (nearest neighbours in feature space) or ``"feature+location"``.
        gamma: matches kept in the local term; None: 0.4 of the cells of a map.
        vertex_form: ``"mean"`` of the local terms, or their ``"sum"`` (Eq. 2-3).
        vertex_noise: scale of the Gumbel noise on vertex affinities.
        edge_noise: scale of the Gumbel noise on edge cosines.
        noise_centred: whether the noise has mean 0.
        margin: constant taken from the affinity of the true pairs.
        samples: noise samples a graph and step.
        estimator: ``"imle"`` (Alg. 1) or ``"sinkhorn"`` (entropic, without noise and margin).
        lambda_: step of the target in ``"imle"``, relative to the sum over a graph.
        temperature: weight of the entropy in ``"sinkhorn"``.
        adaptive: adapt lambda, from ``lambda_`` downwards, to the number of nodes that get a gradient (AIMLE).
        gathered: let each graph span all ranks. Every rank then solves the whole graphs, and a local term sends the
            feature maps of all ranks to each.

    Raises:
        ValueError: a field is out of range.
    """

    graph_size: int = 64
    k: int = 5
    message_passing: str = "residual"
    message_passing_warm_up: float = 0.25
    second_order: bool = True
    edge_weight: float | None = None
    alpha: float = 0.8
    local: str = "feature"
    gamma: int | None = None
    vertex_form: str = "mean"
    vertex_noise: float = 0.2
    edge_noise: float = 0.0
    noise_centred: bool = True
    margin: float = 0.0
    samples: int = 1
    estimator: str = "sinkhorn"
    lambda_: float = 80.0
    temperature: float = 0.1
    adaptive: bool = False
    gathered: bool = False

    def __post_init__(self) -> None:
        self._check_ranges()
        if self.k >= self.graph_size:
            raise ValueError(f"k must be less than graph_size, got k = {self.k} and graph_size = {self.graph_size}")
        if self.adaptive and self.estimator != "imle":
            raise ValueError(f"adaptive belongs to the lambda of imle, got estimator = {self.estimator!r}")

    def _check_ranges(self) -> None:
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {getattr(self, name)!r}")
        for name, (inside, text) in RANGES.items():
            value = getattr(self, name)
            if value is None and name in OPTIONAL:
                continue
            if isinstance(value, str) or value is None or not inside(value):
                alternative = " (or None)" if name in OPTIONAL else ""
                raise ValueError(f"{name} must be {text}{alternative}, got {value!r}")

    @property
    def weight_of_edges(self) -> float:
        """Weight of an edge affinity, with its default 1 / k."""
        return 1 / self.k if self.edge_weight is None else self.edge_weight

    def matches_kept(self, cells: int) -> int:
        """Matches kept in the local term on maps of ``cells`` cells, with the default of 0.4 of them."""
        return max(1, round(GAMMA_SHARE * cells)) if self.gamma is None else self.gamma


PRESETS = {
    "stable": GraphMatchingRecipe(),
    "paper": GraphMatchingRecipe(
        graph_size=16,
        message_passing="plain",
        message_passing_warm_up=0.0,
        edge_weight=1.0,
        local="feature+location",
        vertex_form="sum",
        vertex_noise=1.0,
        edge_noise=1.0,
        noise_centred=False,
        estimator="imle",
    ),
    "gathered": GraphMatchingRecipe(gathered=True, local="none", estimator="imle"),
}


def preset(name: str = "stable", **overrides: Any) -> GraphMatchingRecipe:
    """Return a preset with some fields replaced.

    Args:
        name: ``"stable"`` (default), ``"gathered"``, which is ``"stable"`` with graphs over all ranks,
            I-MLE and no local term, or ``"paper"``, the published method as literally as it is known.
        **overrides: fields of ``GraphMatchingRecipe``.

    Raises:
        ValueError: unknown preset or field, or a field out of range.

    Example:
        >>> preset("stable", graph_size=16, second_order=False).weight_of_edges
        0.2
    """
    if name not in PRESETS:
        raise ValueError(f"preset must be one of {', '.join(PRESETS)}, got {name!r}")
    known = [field.name for field in fields(GraphMatchingRecipe)]
    unknown = sorted(set(overrides) - set(known))
    if unknown:
        raise ValueError(f"unknown field {', '.join(unknown)}; the fields of a recipe are {', '.join(known)}")
    return replace(PRESETS[name], **overrides)
