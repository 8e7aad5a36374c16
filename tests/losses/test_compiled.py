"""Affinities, both solves and the loss compile as one graph, without breaks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from lvm_med_monai.graph import GraphEncoder, GraphView, knn_edges
from lvm_med_monai.losses import GraphMatchingLoss, preset

GRAPHS, NODES = 3, 8
RECIPES = {
    "I-MLE": {},
    "two samples, unsaturated": {"samples": 2, "lambda_": 0.2},
    "edge noise and margin": {"edge_noise": 0.2, "margin": 0.1},
    "adaptive lambda": {"adaptive": True, "lambda_": 2.0},
    "sinkhorn": {"estimator": "sinkhorn"},
    "first order": {"second_order": False},
    "local": {"local": "feature+location", "vertex_form": "sum"},
}


def draw(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def loss_of(**options) -> GraphMatchingLoss:
    return GraphMatchingLoss(preset(**{"graph_size": NODES, "k": 3, "local": "none", "estimator": "imle", **options}))


def inputs() -> tuple[GraphView, GraphView, list[torch.Tensor], torch.Tensor]:
    base, h_t = draw(GRAPHS, NODES, 12, seed=0), draw(GRAPHS, NODES, 12, seed=0) + draw(GRAPHS, NODES, 12, seed=1)
    maps, grids = draw(GRAPHS, NODES, 5, 3, 3, seed=2), draw(GRAPHS, NODES, 3, 3, 2, seed=3)
    h = base.clone().requires_grad_()
    views = GraphView(h, h, knn_edges(base, 3)), GraphView(h_t, h_t, knn_edges(h_t, 3))
    return *views, [maps, maps.flip(0), grids, grids.flip(0)], h


def steps(loss: GraphMatchingLoss, call: Callable[..., torch.Tensor]) -> list[torch.Tensor]:
    """Loss, gradient and statistics of two steps."""
    seen = []
    for _ in range(2):
        view_s, view_t, others, h = inputs()
        value = call(view_s, view_t, *others)
        value.backward()
        statistics = loss.statistics
        seen += [value.detach(), h.grad, statistics.accuracy, statistics.nonzero, statistics.skipped]
    return seen


@pytest.mark.parametrize("options", RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_two_steps_in_one_graph_equal_those_without_compiler(options, backend):
    torch._dynamo.reset()
    plain, compiled = loss_of(**options), loss_of(**options)
    expected = steps(plain, plain)
    found = steps(compiled, torch.compile(compiled, fullgraph=True, backend=backend))
    for value, reference in zip(found, expected, strict=True):
        torch.testing.assert_close(value, reference)
    assert expected[1].abs().sum() > 0
    assert torch.equal(compiled.get_extra_state(), plain.get_extra_state())


@pytest.mark.slow
def test_the_default_compiler_takes_encoder_and_loss():
    """Inductor generates code: message passing, affinities, solves, loss and backward."""
    torch._dynamo.reset()
    torch.manual_seed(0)
    loss, encoder = loss_of(vertex_noise=0.5), GraphEncoder(12, NODES, 3, "residual")
    z_s = draw(GRAPHS * NODES, 12, seed=0)
    z_t = z_s + 0.5 * draw(GRAPHS * NODES, 12, seed=1)

    def step(z_s, z_t):
        return loss(encoder(z_s), encoder(z_t))

    def run(function) -> tuple[torch.Tensor, torch.Tensor]:
        loss.set_extra_state(torch.tensor([5, 0]))
        z = z_s.clone().requires_grad_()
        value = function(z, z_t)
        value.backward()
        return value.detach(), z.grad

    for found, expected in zip(run(torch.compile(step, fullgraph=True)), run(step), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_values_are_checked_where_a_compiled_graph_solves():
    torch._dynamo.reset()
    view_s, view_t, others, _ = inputs()
    compiled = torch.compile(loss_of(), fullgraph=True, backend="eager")
    compiled(view_s, view_t, *others)
    broken = view_t._replace(h=torch.full_like(view_t.h, torch.nan))
    with pytest.raises(ValueError, match=r"c_v of shape .* holds NaN"):
        compiled(view_s, broken, *others)
