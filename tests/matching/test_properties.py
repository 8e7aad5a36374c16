"""What must hold for every problem, whatever its numbers: hypothesis draws them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings, strategies as st

from lvm_med_monai.graph import knn_edges
from lvm_med_monai.matching import MatchingProblem, dual_bound, edge_affinity, solve, vertex_affinity
from lvm_med_monai.matching.qap.edge_free import FactoredEdgeTerm, frank_wolfe as edge_free_frank_wolfe
from lvm_med_monai.matching.qap.frank_wolfe import frank_wolfe
from lvm_med_monai.matching.qap.listed import ListedEdgeTerm

BACKENDS = ("numba", "torch", "reference")
drawn = settings(max_examples=25, deadline=None)


@st.composite
def problems(draw, smallest: int = 3, largest: int = 7, batch: int = 3) -> MatchingProblem:
    """Problems of small graphs with any number of neighbours, weight of edges, noise and scale."""
    nodes = draw(st.integers(smallest, largest))
    k = draw(st.integers(1, nodes - 1))
    noise = draw(st.floats(0, 3))
    weight = draw(st.floats(0, 2))
    scale = 10.0 ** draw(st.integers(-3, 3))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    base = normal(batch, nodes, 6)
    h_s, h_t = (base + noise * normal(*base.shape) for _ in range(2))
    edges_s, edges_t = knn_edges(h_s, k), knn_edges(h_t, k)
    d_s, d_t = edge_affinity(h_s, edges_s), edge_affinity(h_t, edges_t)
    c_v = scale * (vertex_affinity(h_s, h_t) + 0.3 * normal(batch, nodes, nodes))
    return MatchingProblem(c_v, edges_s, edges_t, d_s=d_s, d_t=d_t, edge_weight=scale * weight)


def key(seed: int = 0) -> torch.Tensor:
    return torch.tensor([seed])


def close(found: torch.Tensor, expected: torch.Tensor, problem: MatchingProblem) -> bool:
    """Equal up to the rounding of numbers as large as the affinities."""
    size = problem.c_v.abs().max() + problem.edge_affinities().abs().max()
    return bool(((found - expected).abs() <= 1e-9 * size).all())


@pytest.mark.parametrize("backend", BACKENDS)
@given(problem=problems(), seed=st.integers(0, 1000))
@drawn
def test_renaming_nodes_on_both_sides_renames_the_solution(backend, problem, seed):
    """Equivariance, and no dependence on the order of nodes: the identity cannot be told from other permutations."""
    nodes = problem.c_v.shape[1]
    generator = torch.Generator().manual_seed(seed)
    order_s, order_t = (torch.randperm(nodes, generator=generator) for _ in range(2))
    renamed = replace(
        problem,
        c_v=problem.c_v[:, order_s][:, :, order_t],
        edges_s=order_s.argsort()[problem.edges_s],
        edges_t=order_t.argsort()[problem.edges_t],
    )
    old, new = solve(problem, "reference", generator=key()), solve(renamed, backend, generator=key(1))
    back = order_t[new.v][:, order_s.argsort()]
    assert close(problem.score(back), new.score, problem)
    if backend == "reference":
        assert close(new.score, old.score, problem)
        # random affinities: the optimum is unique
        assert torch.equal(back, old.v)
    else:
        assert (new.score <= old.score + 1e-9 * problem.c_v.abs().max()).all()


@pytest.mark.parametrize("backend", BACKENDS)
@given(problem=problems(), constant=st.floats(-10, 10))
@drawn
def test_a_constant_on_the_vertices_moves_the_score_alone(backend, problem, constant):
    nodes = problem.c_v.shape[1]
    shift = constant * problem.c_v.abs().max()
    old, new = (solve(p, backend, generator=key()) for p in (problem, replace(problem, c_v=problem.c_v + shift)))
    assert torch.equal(new.v, old.v)
    assert close(new.score, old.score + nodes * shift, replace(problem, c_v=problem.c_v + 10 * shift))


@given(problem=problems(largest=10), patience=st.integers(1, 10))
@drawn
def test_the_objective_of_frank_wolfe_never_falls(problem, patience):
    nodes = problem.c_v.shape[1]
    for b in range(len(problem.c_v)):
        term, plan = FactoredEdgeTerm(problem, b), torch.full((nodes, nodes), 1 / nodes, dtype=torch.float64)
        ascent = edge_free_frank_wolfe(term, problem.c_v[b], plan, term.uniform_gradient(), 20, patience)
        objective = torch.tensor(ascent.objective)
        assert (objective.diff() >= -1e-9 * (1e-12 + objective.abs().max())).all()


@given(problem=problems(largest=10))
@drawn
def test_more_steps_of_frank_wolfe_never_find_a_worse_permutation(problem):
    batch, nodes = problem.c_v.shape[:2]
    term, graph = ListedEdgeTerm(problem), torch.arange(batch)
    uniform = torch.full_like(problem.c_v, 1 / nodes)
    scores = []
    for steps in range(1, 8):
        v, _ = frank_wolfe(term, problem.c_v, graph, uniform, term.gradient(uniform), steps, 100)
        scores.append(problem.score(v))
    assert (torch.stack(scores).diff(dim=0) >= -1e-9 * problem.c_v.abs().max()).all()


@pytest.mark.parametrize("backend", BACKENDS)
@given(problem=problems(), iterations=st.integers(0, 20))
@drawn
def test_no_score_exceeds_the_bound(backend, problem, iterations):
    bound = dual_bound(problem, iterations)
    score = solve(problem, backend, generator=key()).score
    size = problem.c_v.abs().max() + problem.edge_affinities().abs().max()
    assert (score <= bound + 1e-9 * size).all()


@pytest.mark.parametrize("backend", ["numba", "torch"])
@given(
    nodes=st.integers(8, 24),
    k=st.integers(3, 6),
    vertices=st.sampled_from([0.0, 0.02, 1.0]),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=15, deadline=None)
def test_planted_isomorphisms_are_recovered(backend, nodes, k, vertices, seed):
    """The target graph is the source graph under other names; edges alone give it away where vertices are silent."""
    generator = torch.Generator().manual_seed(seed)
    h = torch.randn(2, nodes, 24, generator=generator, dtype=torch.float64)
    order = torch.stack([torch.randperm(nodes, generator=generator) for _ in range(2)])
    h_t = h.gather(1, order.unsqueeze(2).expand(-1, -1, 24))
    edges_s, edges_t = knn_edges(h, k), knn_edges(h_t, k)
    d_s, d_t = edge_affinity(h, edges_s), edge_affinity(h_t, edges_t)
    problem = MatchingProblem(vertices * vertex_affinity(h, h_t), edges_s, edges_t, d_s=d_s, d_t=d_t)
    solution = solve(problem, backend, generator=key(seed))
    assert torch.equal(order.gather(1, solution.v), torch.arange(nodes).expand(2, -1))


@pytest.mark.parametrize("backend", ["numba", "torch"])
@given(problem=problems(largest=6), seed=st.integers(0, 1000))
@drawn
def test_backends_return_the_score_of_the_unique_optimum(backend, problem, seed):
    """Random affinities have one optimum; a miss would have to be a local optimum of every start."""
    best = solve(problem, "reference", generator=key()).score
    found = solve(problem, backend, generator=key(seed)).score
    torch.testing.assert_close(found, best, rtol=1e-5, atol=float(1e-9 * problem.c_v.abs().max()))
