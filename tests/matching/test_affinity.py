from __future__ import annotations

import numpy as np
import pytest
import torch

from lvm_med_monai.graph import knn_edges
from lvm_med_monai.matching import combine, edge_affinity, local as local_module, local_affinity, vertex_affinity
from lvm_med_monai.matching.affinity import unit


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def branch_by_hand(map_s, map_t, key_s, key_t, gamma):
    """Mean cosine of the gamma closest nearest-neighbour matches from s to t; nearest by ``key``."""
    matches = []
    for p in range(len(map_s)):
        distances = [float(np.linalg.norm(key_s[p] - key_t[q])) for q in range(len(map_t))]
        q = int(np.argmin(distances))
        matches.append((distances[q], cosine(map_s[p], map_t[q])))
    return float(np.mean([c for _, c in sorted(matches)[:gamma]]))


def local_by_hand(maps_s, maps_t, gamma, positions_s=None, positions_t=None):
    """Eq. 2-3: the sum over branches and over both directions, for all pairs."""
    n, m = len(maps_s), len(maps_t)
    value = np.zeros((n, m))
    for i in range(n):
        for a in range(m):
            s, t = maps_s[i], maps_t[a]
            value[i, a] = branch_by_hand(s, t, s, t, gamma) + branch_by_hand(t, s, t, s, gamma)
            if positions_s is not None:
                x, y = positions_s[i], positions_t[a]
                value[i, a] += branch_by_hand(s, t, x, y, gamma) + branch_by_hand(t, s, y, x, gamma)
    return value


def test_vertex_affinity_is_the_cosine():
    h_s, h_t = draw(2, 4, 5), draw(2, 3, 5, seed=1)
    expected = [[[cosine(x, y) for y in t] for x in s] for s, t in zip(h_s.numpy(), h_t.numpy(), strict=True)]
    np.testing.assert_allclose(vertex_affinity(h_s, h_t), expected, atol=1e-12)


def test_edge_factors_give_cosines_of_difference_vectors():
    h_s, h_t = draw(1, 5, 4), draw(1, 5, 4, seed=1)
    edges_s, edges_t = knn_edges(h_s, 2), knn_edges(h_t, 2)
    c_e = edge_affinity(h_s, edges_s) @ edge_affinity(h_t, edges_t).mT
    for e, (i, j) in enumerate(edges_s[0].tolist()):
        for f, (a, b) in enumerate(edges_t[0].tolist()):
            expected = cosine((h_s[0, i] - h_s[0, j]).numpy(), (h_t[0, a] - h_t[0, b]).numpy())
            assert c_e[0, e, f].item() == pytest.approx(expected)


def test_equal_features_give_zero_edges_and_finite_gradients():
    h = torch.ones(1, 3, 4, requires_grad=True)
    factors = edge_affinity(h, torch.tensor([[[0, 1], [1, 2], [-1, -1]]]))
    (3 * factors).sum().backward()
    assert torch.equal(factors, torch.zeros(1, 3, 4))
    assert torch.equal(h.grad, torch.zeros(1, 3, 4))


def test_unit_vectors_and_their_gradient():
    x = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x[1, 2] = 0
    x.requires_grad_()
    expected = torch.nn.functional.normalize(x, dim=-1)
    torch.testing.assert_close(unit(x), expected)
    weight = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (found,), (reference,) = (torch.autograd.grad((y * weight).sum(), x) for y in (unit(x), expected))
    reference[1, 2] = 0  # no direction: no gradient
    torch.testing.assert_close(found, reference)
    assert torch.autograd.gradcheck(unit, x.detach()[0].clone().requires_grad_())


@pytest.mark.parametrize("form", ["mean", "sum"])
@pytest.mark.parametrize("location", ["none", "all"])
@pytest.mark.parametrize("gamma", [1, 3, 6])
def test_local_affinity_equals_a_loop_over_pairs(form, location, gamma):
    maps_s, maps_t = draw(2, 3, 6, 4), draw(2, 5, 6, 4, seed=1)
    positions_s, positions_t = draw(2, 3, 6, 2, seed=2), draw(2, 5, 6, 2, seed=3)
    value = local_affinity(maps_s, maps_t, gamma, positions_s, positions_t, location, form)
    for b in range(2):
        grids = (positions_s[b].numpy(), positions_t[b].numpy()) if location == "all" else ()
        expected = local_by_hand(maps_s[b].numpy(), maps_t[b].numpy(), gamma, *grids)
        parts = (4 if location == "all" else 2) if form == "mean" else 1
        np.testing.assert_allclose(value[b], expected / parts, atol=1e-12)


@pytest.mark.parametrize("location", ["none", "all"])
def test_local_affinity_has_the_right_gradient(location):
    maps = [draw(1, 3, 4, 3, seed=s).requires_grad_() for s in (0, 1)]
    grids = [draw(1, 3, 4, 2, seed=s) for s in (2, 3)]
    assert torch.autograd.gradcheck(lambda s, t: local_affinity(s, t, 2, *grids, location), maps)


def test_chunks_change_nothing(monkeypatch):
    maps = [draw(2, 5, 6, 4, seed=s).requires_grad_() for s in (0, 1)]
    weight = draw(2, 5, 5, seed=4)

    def run():
        value = local_affinity(*maps, gamma=3)
        return value.detach(), *torch.autograd.grad((value * weight).sum(), maps)

    whole = run()
    monkeypatch.setattr(local_module, "CHUNK_ENTRIES", 2 * 5 * 36)
    for a, b in zip(whole, run(), strict=True):
        torch.testing.assert_close(a, b)


def test_equal_maps_match_perfectly():
    maps = draw(1, 4, 9, 5)
    value = local_affinity(maps, maps, gamma=4)
    torch.testing.assert_close(value.diagonal(dim1=1, dim2=2), torch.ones(1, 4, dtype=torch.float64))
    assert value.max() <= 1 + 1e-12


def test_combine():
    vertex, local = draw(1, 2, 2), draw(1, 2, 2, seed=1)
    torch.testing.assert_close(combine(0.8, vertex, local), 0.8 * vertex + 0.2 * local)


MAPS, GRID = torch.zeros(1, 3, 4, 2), torch.zeros(1, 3, 4, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"gamma": 0}, r"gamma must be in 1 .. 4, the cells of a map, got 0"),
        ({"gamma": 5}, r"gamma must be in 1 .. 4, the cells of a map, got 5"),
        ({"location": "diagonal"}, "location must be one of none, all, got 'diagonal'"),
        ({"form": "max"}, "form must be one of mean, sum, got 'max'"),
        ({"maps_t": MAPS[..., :1]}, r"maps must have shapes .* got \(1, 3, 4, 2\) and \(1, 3, 4, 1\)"),
        ({"maps_t": MAPS[0]}, "maps must have shapes"),
        ({"location": "all"}, "needs positions_s and positions_t"),
        (
            {"location": "all", "positions_s": GRID, "positions_t": GRID[:, :2]},
            r"positions_t must have shape \(1, 3, 4, 2\)",
        ),
    ],
)
def test_bad_maps_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        local_affinity(**{"maps_s": MAPS, "maps_t": MAPS, "gamma": 2, **arguments})
