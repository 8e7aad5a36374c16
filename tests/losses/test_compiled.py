"""Affinities and surrogate compile as one graph; the solver stays outside and hands its estimate in."""

from __future__ import annotations

import pytest
import torch

from lvm_med_monai.graph import GraphView, knn_edges
from lvm_med_monai.losses import GraphMatchingLoss, matching_loss, preset
from lvm_med_monai.matching import MatchingProblem

GRAPHS, NODES = 3, 8


def draw(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"samples": 2, "lambda_": 0.2},
        {"estimator": "sinkhorn"},
        {"second_order": False},
        {"local": "feature+location", "vertex_form": "sum"},
    ],
    ids=["one sample", "two samples", "sinkhorn", "first order", "local"],
)
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_one_graph_with_the_same_loss_and_gradient(options, backend):
    torch._dynamo.reset()
    loss = GraphMatchingLoss(preset(**{"graph_size": NODES, "k": 3, "local": "none", "estimator": "imle", **options}))
    maps, grids = draw(GRAPHS, NODES, 5, 3, 3, seed=2), draw(GRAPHS, NODES, 3, 3, 2, seed=3)
    base = draw(GRAPHS, NODES, 12, seed=0)

    def inputs() -> tuple[GraphView, GraphView, torch.Tensor]:
        h = base.clone().requires_grad_()
        h_t = base + draw(GRAPHS, NODES, 12, seed=1)
        return GraphView(h, h, knn_edges(base, 3)), GraphView(h_t, h_t, knn_edges(h_t, 3)), h

    def surrogate(view_s, view_t, estimate):
        return matching_loss(loss.problem(view_s, view_t, maps, maps.flip(0), grids, grids.flip(0)), estimate)

    view_s, view_t, h = inputs()
    estimate = loss.estimate(loss.problem(view_s, view_t, maps, maps.flip(0), grids, grids.flip(0)))
    value = surrogate(view_s, view_t, estimate)
    value.backward()
    view_s, view_t, compiled_h = inputs()
    compiled = torch.compile(surrogate, fullgraph=True, backend=backend)(view_s, view_t, estimate)
    compiled.backward()
    torch.testing.assert_close(compiled, value)
    torch.testing.assert_close(compiled_h.grad, h.grad)
    assert h.grad.abs().sum() > 0


def test_outside_of_a_compiled_graph_problems_are_checked():
    loss = GraphMatchingLoss(preset(graph_size=NODES, k=3, local="none"))
    h = draw(GRAPHS, NODES, 12, seed=0)
    view = GraphView(h, h, knn_edges(h, 3))
    assert type(loss.problem(view, view)) is MatchingProblem
    broken = view._replace(h=torch.full_like(h, torch.nan))
    with pytest.raises(ValueError, match="holds NaN"):
        loss.problem(broken, view)
