"""The loss and its gradient against the paper's equations, written with loops in NumPy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from lvm_med_monai.graph import GraphView, knn_edges
from lvm_med_monai.losses import GraphMatchingLoss, matching_loss, preset
from lvm_med_monai.matching import perturb
from lvm_med_monai.matching.seeds import generator_of

GRAPHS, NODES, K, FEATURES, CHANNELS, GRID = 3, 5, 2, 4, 3, 2


def draw(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def inputs(spread: float = 1.0) -> dict[str, torch.Tensor]:
    h = draw(GRAPHS, NODES, FEATURES, seed=0)
    return {
        "h_s": h,
        "h_t": h + spread * draw(GRAPHS, NODES, FEATURES, seed=1),
        "maps_s": draw(GRAPHS, NODES, CHANNELS, GRID, GRID, seed=2),
        "maps_t": draw(GRAPHS, NODES, CHANNELS, GRID, GRID, seed=3),
        "positions_s": draw(GRAPHS, NODES, GRID, GRID, 2, seed=4),
        "positions_t": draw(GRAPHS, NODES, GRID, GRID, 2, seed=5),
    }


def problem_of(loss: GraphMatchingLoss, x: dict[str, torch.Tensor]):
    view_s, view_t = (GraphView(h, h, knn_edges(h, K)) for h in (x["h_s"], x["h_t"]))
    return loss.problem(view_s, view_t, x["maps_s"], x["maps_t"], x["positions_s"], x["positions_t"])


# ---------------------------------------------------------------- the equations


def cosine(x, y):
    return float(x @ y / (np.linalg.norm(x) * np.linalg.norm(y)))


def one_way(map_s, map_t, key_s, key_t, gamma):
    """Eq. 2, one branch: expectation of the cosine over the gamma best nearest-neighbour matches."""
    found = []
    for p in range(len(map_s)):
        distance = [np.linalg.norm(key_s[p] - key_t[q]) for q in range(len(map_t))]
        found.append((min(distance), cosine(map_s[p], map_t[int(np.argmin(distance))])))
    return np.mean([c for _, c in sorted(found)[:gamma]])


def vertex_affinities(x, g, recipe):
    """Eq. 3."""

    def cells(name, i):
        return x[name][g, i].reshape(CHANNELS, -1).T

    def grid(name, i):
        return x[name][g, i].reshape(-1, 2)

    gamma = recipe.matches_kept(GRID * GRID)
    c = np.zeros((NODES, NODES))
    for i in range(NODES):
        for a in range(NODES):
            c[i, a] = cosine(x["h_s"][g, i], x["h_t"][g, a])
            if recipe.local == "none":
                continue
            s, t = cells("maps_s", i), cells("maps_t", a)
            local = [one_way(s, t, s, t, gamma), one_way(t, s, t, s, gamma)]
            if recipe.local == "feature+location":
                u, w = grid("positions_s", i), grid("positions_t", a)
                local += [one_way(s, t, u, w, gamma), one_way(t, s, w, u, gamma)]
            combined = np.sum(local) if recipe.vertex_form == "sum" else np.mean(local)
            c[i, a] = recipe.alpha * c[i, a] + (1 - recipe.alpha) * combined
    return c


def neighbours(h):
    edges = []
    for i in range(NODES):
        order = sorted((np.linalg.norm(h[i] - h[j]), j) for j in range(NODES) if j != i)
        edges += [(i, j) for _, j in order[:K]]
    return edges


def edge_affinities(x, g, edges_s, edges_t, weight):
    h_s, h_t = x["h_s"][g], x["h_t"][g]
    return np.array([[weight * cosine(h_s[i] - h_s[j], h_t[a] - h_t[b]) for a, b in edges_t] for i, j in edges_s])


def best_matching(c_v, c_e, edges_s, edges_t):
    """Eq. 4 by enumeration; returns the permutation matrix."""
    best, best_v = -np.inf, None
    for v in itertools.permutations(range(NODES)):
        score = sum(c_v[i, v[i]] for i in range(NODES))
        for e, (i, j) in enumerate(edges_s):
            for f, (a, b) in enumerate(edges_t):
                score += c_e[e, f] * (v[i] == a) * (v[j] == b)
        if score > best:
            best, best_v = score, v
    return np.eye(NODES)[list(best_v)]


def paid(v, edges_s, edges_t):
    return np.array([[v[i, a] * v[j, b] for a, b in edges_t] for i, j in edges_s])


def paper(c_v, c_e, edges_s, edges_t, lambda_):
    """Eq. 5, Eq. 6 and Alg. 1 for one graph: Hamming loss and lambda times the gradients."""
    target = np.eye(NODES)
    v = best_matching(c_v, c_e, edges_s, edges_t)
    hamming = (v * (1 - target)).sum() + (target * (1 - v)).sum()
    w = best_matching(c_v - lambda_ * (1 - 2 * target), c_e, edges_s, edges_t)
    return hamming, v - w, paid(v, edges_s, edges_t) - paid(w, edges_s, edges_t)


# ---------------------------------------------------------------- the comparison

RECIPES = {
    "stable": preset("stable", estimator="imle", graph_size=NODES, k=K),
    "stable, small lambda": preset("stable", estimator="imle", graph_size=NODES, k=K, lambda_=0.2),
    "stable, margin": preset("stable", estimator="imle", graph_size=NODES, k=K, vertex_noise=0.0, margin=0.3),
    "first order": preset("stable", estimator="imle", graph_size=NODES, k=K, second_order=False),
    "no local term": preset("stable", estimator="imle", graph_size=NODES, k=K, local="none"),
    "location": preset("stable", estimator="imle", graph_size=NODES, k=K, local="feature+location", gamma=3),
    "paper": preset("paper", graph_size=NODES, k=K),
    "paper, small lambda": preset("paper", graph_size=NODES, k=K, lambda_=0.5),
}


@pytest.mark.parametrize("name", RECIPES)
def test_affinities_equal_the_equations(name):
    recipe, x = RECIPES[name], inputs()
    problem = problem_of(GraphMatchingLoss(recipe), x)
    arrays = {key: value.numpy() for key, value in x.items()}
    for g in range(GRAPHS):
        np.testing.assert_allclose(problem.c_v[g], vertex_affinities(arrays, g, recipe), atol=1e-12)
        if recipe.second_order:
            edges_s, edges_t = neighbours(arrays["h_s"][g]), neighbours(arrays["h_t"][g])
            assert [tuple(edge) for edge in problem.edges_s[g].tolist()] == edges_s
            expected = edge_affinities(arrays, g, edges_s, edges_t, 1 / K if recipe.edge_weight is None else 1.0)
            np.testing.assert_allclose(problem.edge_affinities()[g], expected, atol=1e-12)


@pytest.mark.parametrize("name", RECIPES)
def test_loss_and_gradients_equal_the_equations(name):
    recipe, x = RECIPES[name], inputs()
    loss = GraphMatchingLoss(recipe, seed=3)
    clean = problem_of(loss, x).detach()
    # the same draw of noise that the loss makes
    noisy = perturb(
        clean,
        recipe.vertex_noise,
        recipe.edge_noise,
        recipe.noise_centred,
        recipe.margin,
        generator=generator_of(torch.tensor([3, 1])),  # seed and step
    )
    c_v = clean.c_v.clone().requires_grad_()
    c_e = clean.edge_affinities().requires_grad_() if recipe.second_order else None
    leaves = type(clean)(c_v, clean.edges_s, clean.edges_t, c_e)
    value = matching_loss(leaves, loss.estimate(clean))
    value.backward()

    losses = []
    for g in range(GRAPHS):
        edges_s = [tuple(e) for e in clean.edges_s[g].tolist()] if recipe.second_order else []
        edges_t = [tuple(e) for e in clean.edges_t[g].tolist()] if recipe.second_order else []
        noisy_edges = noisy.edge_affinities()[g].numpy() if recipe.second_order else []
        hamming, g_v, g_e = paper(noisy.c_v[g].numpy(), noisy_edges, edges_s, edges_t, recipe.lambda_)
        losses.append(hamming)
        np.testing.assert_allclose(c_v.grad[g], g_v / GRAPHS, atol=1e-12)
        if recipe.second_order:
            np.testing.assert_allclose(c_e.grad[g], g_e / GRAPHS, atol=1e-12)
    assert value.item() == pytest.approx(np.mean(losses))
    assert max(losses) > 0, "a loss of zero would compare nothing"


@pytest.mark.parametrize("estimator", ["imle", "sinkhorn"])
@pytest.mark.parametrize("local", ["none", "feature+location"])
def test_gradient_on_features_equals_finite_differences(estimator, local):
    """The surrogate's gradient on the features is that of <c, g> with g held fixed."""
    recipe = preset(graph_size=NODES, k=K, local=local, estimator=estimator, samples=2, vertex_noise=0.5)
    loss, x = GraphMatchingLoss(recipe), inputs()
    estimate = loss.estimate(problem_of(loss, x))
    names = ["h_s", "h_t"] + (["maps_s"] if local != "none" else [])
    leaves = {**x, **{name: x[name].clone().requires_grad_() for name in names}}
    matching_loss(problem_of(loss, leaves), estimate).backward()

    def product(values):
        """<c_v, g_v> + <c_e, g_e>, with g_e written out."""
        problem = problem_of(loss, values)
        total = (problem.c_v * estimate.g_v).sum()
        pairs = (
            [(estimate.plan, torch.eye(NODES, dtype=torch.float64).expand(GRAPHS, -1, -1))]
            if estimator == "sinkhorn"
            else [
                tuple(torch.nn.functional.one_hot(v, NODES).double() for v in pair)
                for pair in zip(estimate.v, estimate.shifted, strict=True)
            ]
        )
        for v, w in pairs:
            for g in range(GRAPHS):
                edges = problem.edges_s[g].tolist(), problem.edges_t[g].tolist()
                g_e = paid(v[g].numpy(), *edges) - paid(w[g].numpy(), *edges)
                total += (problem.edge_affinities()[g] * torch.from_numpy(g_e)).sum() / len(pairs)
        return total.item() / GRAPHS

    for name in names:
        cells = torch.randperm(x[name].numel(), generator=torch.Generator().manual_seed(0))[:5]
        for cell in cells.tolist():
            step = torch.zeros(x[name].numel(), dtype=torch.float64)
            step[cell] = 1e-6
            step = step.view_as(x[name])
            slope = (product({**x, name: x[name] + step}) - product({**x, name: x[name] - step})) / 2e-6
            assert leaves[name].grad.flatten()[cell].item() == pytest.approx(slope, abs=1e-6)
