from __future__ import annotations

import pytest
import torch
from torch import nn

from lvm_med_monai.graph import GraphEncoder, GraphView, knn_edges
from lvm_med_monai.losses import GraphMatchingLoss, preset
from lvm_med_monai.matching import solve


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def view(h: torch.Tensor, k: int = 3) -> GraphView:
    return GraphView(h, h, knn_edges(h.detach(), k))


def two_views(graphs: int = 4, nodes: int = 8, spread: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    h = draw(graphs, nodes, 12)
    return h, h + spread * draw(graphs, nodes, 12, seed=1)


def quiet(nodes: int = 8, **overrides: object) -> GraphMatchingLoss:
    """A loss without noise: the matching depends on the affinities only."""
    return GraphMatchingLoss(
        preset(**{"graph_size": nodes, "k": 3, "local": "none", "estimator": "imle", "vertex_noise": 0.0, **overrides})
    )


@pytest.mark.parametrize("local", ["none", "feature", "feature+location"])
@pytest.mark.parametrize("second_order", [True, False])
def test_identical_views_cost_nothing(local, second_order):
    h, maps, grid = draw(4, 8, 12), draw(4, 8, 5, 3, 3, seed=1), draw(4, 8, 3, 3, 2, seed=2)
    loss = quiet(local=local, second_order=second_order)
    assert loss(view(h), view(h), maps, maps, grid, grid).item() == 0
    assert loss.statistics.accuracy == 1
    assert loss.statistics.nonzero == 0


def test_the_loss_is_the_hamming_loss_of_the_matching():
    h_s, h_t = two_views()
    loss = quiet()
    value = loss(view(h_s), view(h_t))
    v = solve(loss.problem(view(h_s), view(h_t))).v
    wrong = (v != torch.arange(8)).sum(dim=1).double()
    assert value.item() == pytest.approx(2 * wrong.mean().item())
    assert loss.statistics.accuracy.item() == pytest.approx(1 - wrong.mean().item() / 8)


def test_relabelling_the_images_of_a_graph_leaves_the_loss_unchanged():
    h_s, h_t = two_views()
    order = torch.randperm(8, generator=torch.Generator().manual_seed(2))
    value, relabelled = quiet()(view(h_s), view(h_t)), quiet()(view(h_s[:, order]), view(h_t[:, order]))
    assert relabelled.item() == pytest.approx(value.item())


def test_shuffling_one_view_shuffles_the_matching():
    h_s, h_t = two_views(spread=0.3)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(2))
    loss = quiet()
    old = solve(loss.problem(view(h_s), view(h_t))).v
    new = solve(loss.problem(view(h_s), view(h_t[:, order]))).v
    assert torch.equal(order[new], old)


def gradients(loss: GraphMatchingLoss, h_s: torch.Tensor, h_t: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
    leaf = h_s.clone().requires_grad_()
    (scale * loss(view(leaf), view(h_t))).backward()
    return leaf.grad


@pytest.mark.parametrize("estimator", ["imle", "sinkhorn"])
def test_loss_scaling_scales_the_gradient_and_nothing_else(estimator):
    h_s, h_t = two_views()
    options = {"estimator": estimator, "lambda_": 0.3, "vertex_noise": 0.2}
    plain, scaled = gradients(quiet(**options), h_s, h_t), gradients(quiet(**options), h_s, h_t, scale=65536.0)
    assert plain.abs().sum() > 0
    assert torch.equal(scaled / 65536, plain)


@pytest.mark.parametrize("estimator", ["imle", "sinkhorn"])
def test_half_batches_average_to_the_whole(estimator):
    h_s, h_t = two_views()
    options = {"estimator": estimator, "margin": 0.1}
    whole = gradients(quiet(**options), h_s, h_t)
    halves = [gradients(quiet(**options), h_s[part], h_t[part], scale=0.5) for part in (slice(0, 2), slice(2, 4))]
    torch.testing.assert_close(torch.cat(halves), whole)


def test_autocast_does_not_reach_the_loss():
    h_s, h_t = two_views()
    maps = draw(4, 8, 5, 3, 3)
    expected = quiet(local="feature")(view(h_s), view(h_t), maps, maps)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = quiet(local="feature")(view(h_s), view(h_t), maps, maps)
    assert value.dtype == torch.float32
    assert value == expected


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_gradients_have_the_dtype_of_the_features(dtype):
    h_s, h_t = (h.to(dtype) for h in two_views())
    assert gradients(quiet(), h_s, h_t).dtype == dtype


def test_nothing_is_learnable():
    assert list(quiet().parameters()) == []


def test_a_restored_loss_draws_the_same_noise():
    h_s, h_t = two_views()
    loss = quiet(vertex_noise=1.0)
    loss(view(h_s), view(h_t))
    state = loss.state_dict()
    after = [loss(view(h_s), view(h_t)).item() for _ in range(3)]
    restored = quiet(vertex_noise=1.0)
    restored.load_state_dict(state)
    assert [restored(view(h_s), view(h_t)).item() for _ in range(3)] == after


def test_seeds_draw_different_noise():
    h_s, h_t = two_views()
    recipe = preset(graph_size=8, k=3, local="none", estimator="imle", vertex_noise=1.0)
    problems = [GraphMatchingLoss(recipe, seed=seed) for seed in (0, 1)]
    drawn = [loss.estimate(loss.problem(view(h_s), view(h_t))).v for loss in problems]
    assert not torch.equal(*drawn)


def test_statistics_describe_the_step():
    h_s, h_t = two_views(spread=0.3)
    loss = quiet(vertex_noise=0.5, samples=2)
    value = loss(view(h_s.requires_grad_()), view(h_t))
    seen = loss.statistics
    assert seen.hamming.item() == pytest.approx(value.item(), rel=1e-6)
    assert seen.accuracy.item() == pytest.approx(1 - value.item() / 16, rel=1e-6)
    assert seen.skipped == 1
    assert 0 < seen.nonzero <= 1
    assert 0 < seen.edge_share < 1
    assert not seen.problem.c_v.requires_grad
    assert -1e-6 <= seen.objective_gap() < 1
    state = loss.get_extra_state()
    assert seen.clean_accuracy() == 1
    assert torch.equal(loss.get_extra_state(), state)


def test_lambda_is_no_learning_rate():
    """Above the saturation bound the gradient does not depend on lambda."""
    h_s, h_t = two_views()
    assert torch.equal(gradients(quiet(lambda_=10.0), h_s, h_t), gradients(quiet(lambda_=80.0), h_s, h_t))


def test_adaptive_lambda_follows_the_training_and_is_restored():
    h_s, h_t = two_views()
    loss = quiet(adaptive=True, lambda_=2.0)
    first = loss(view(h_s), view(h_t))
    assert first == quiet(lambda_=2.0)(view(h_s), view(h_t))
    for _ in range(20):
        loss(view(h_s), view(h_t))
    assert 0 < loss.adaptive.value < 2
    restored = quiet(adaptive=True, lambda_=2.0)
    restored.load_state_dict(loss.state_dict())
    assert restored.adaptive.value == loss.adaptive.value
    before = loss.adaptive.value.clone()
    loss.eval()(view(h_s), view(h_t))
    assert loss.adaptive.value == before


def test_without_adaptation_the_state_is_that_of_the_noise():
    assert list(quiet().state_dict()) == ["_extra_state"]
    assert quiet().adaptive is None


@pytest.mark.parametrize(
    ("overrides", "arguments", "message"),
    [
        ({"local": "feature"}, 2, "local='feature' needs maps_s and maps_t"),
        ({"local": "feature+location"}, 4, "needs positions_s and positions_t"),
        ({"graph_size": 9}, 2, r"both views must have shape \(B, 9, C\), got \(4, 8, 12\) and \(4, 8, 12\)"),
        ({"local": "feature", "gamma": 10}, 4, "gamma must be in 1 .. 9, the cells of a map, got 10"),
    ],
    ids=["no maps", "no positions", "graph size", "gamma"],
)
def test_missing_or_wrong_inputs_are_refused(overrides, arguments, message):
    h_s, h_t = two_views()
    maps = draw(4, 8, 5, 3, 3)
    inputs = [view(h_s), view(h_t), maps, maps][:arguments]
    with pytest.raises(ValueError, match=message):
        quiet(**overrides)(*inputs)


OPTIONS = {
    "first order": {"second_order": False},
    "second order": {},
    "second order, heavy edges": {"edge_weight": 1.0, "edge_noise": 1.0, "noise_centred": False},
    "feature": {"local": "feature"},
    "location": {"local": "feature+location"},
    "sum of local terms": {"local": "feature+location", "vertex_form": "sum"},
    "no noise": {"vertex_noise": 0.0},
    "plain": {"message_passing": "plain"},
    "residual": {"message_passing": "residual"},
    "sinkhorn": {"estimator": "sinkhorn"},
    "sinkhorn, first order": {"estimator": "sinkhorn", "second_order": False, "local": "feature"},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_independent_views_match_at_chance(name):
    """No option of the loss knows which image is which: unrelated views give one right node a graph on average."""
    nodes, right = 8, []
    options = {
        "graph_size": nodes,
        "k": 3,
        "local": "none",
        "estimator": "imle",
        "message_passing": "none",
        **OPTIONS[name],
    }
    recipe = preset(**options)
    for seed in range(3):
        torch.manual_seed(seed)
        encoder = GraphEncoder(12, nodes, 3, recipe.message_passing)
        loss = GraphMatchingLoss(recipe, seed)
        views = [encoder(draw(40 * nodes, 12, seed=100 * seed + side)) for side in (1, 2)]
        maps = [draw(40, nodes, 5, 3, 3, seed=100 * seed + side) for side in (3, 4)]
        # both views of an image share their grid, as equal crops do
        grid = draw(40, nodes, 3, 3, 2, seed=100 * seed + 5)
        problem = loss.problem(*views, *maps, grid, grid)
        estimate = loss.estimate(problem.detach())
        right.append(nodes - estimate.hamming / 2)
    right = torch.cat(right).double()
    error = right.std() / len(right) ** 0.5
    assert abs(right.mean() - 1) < 3 * error


class Toy(nn.Module):
    """A small encoder; the two views of an image share 16 of 64 rotated coordinates."""

    def __init__(self, recipe):
        super().__init__()
        self.features = nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 32))
        self.graphs = GraphEncoder(32, recipe.graph_size, recipe.k, recipe.message_passing)

    def forward(self, x):
        return self.graphs(self.features(x))


@pytest.mark.parametrize(
    ("sign", "overrides"),
    [(1, {"estimator": "imle"}), (1, {"estimator": "sinkhorn"}), (-1, {"estimator": "imle"})],
    ids=["imle", "sinkhorn", "wrong sign"],
)
def test_training_raises_the_accuracy_and_the_wrong_sign_lowers_it(sign, overrides):
    recipe = preset(graph_size=64, local="none", **overrides)
    torch.manual_seed(0)
    model, loss = Toy(recipe), GraphMatchingLoss(recipe)
    optimiser = torch.optim.Adam(model.parameters(), 4e-3)
    generator = torch.Generator().manual_seed(0)
    rotation = torch.linalg.qr(torch.randn(64, 64, generator=generator)).Q

    def batch(images):
        signal = torch.randn(images, 16, generator=generator)
        return [torch.cat([signal, torch.randn(images, 48, generator=generator)], dim=1) @ rotation for _ in range(2)]

    def accuracy():
        check = quiet(64, k=5, second_order=False)
        with torch.no_grad():
            check(*(model(x) for x in batch(128)))
        return check.statistics.accuracy.item()

    before = accuracy()
    for _ in range(40):
        optimiser.zero_grad()
        (sign * loss(*(model(x) for x in batch(64)))).backward()
        optimiser.step()
    after = accuracy()
    assert (after > before + 0.4) if sign > 0 else (after < before - 0.05)
