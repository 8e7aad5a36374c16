from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from lvm_med_monai.graph import knn_edges
from lvm_med_monai.matching import MatchingProblem, assign, edge_affinity, vertex_affinity
from lvm_med_monai.matching.qap.edge_free import (
    STARTS,
    FactoredEdgeTerm,
    frank_wolfe,
    improve_by_swaps,
    solve_edge_free,
)
from lvm_med_monai.matching.qap.frank_wolfe import frank_wolfe as dense_frank_wolfe
from lvm_med_monai.matching.qap.listed import ListedEdgeTerm


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def padded(problem: MatchingProblem) -> MatchingProblem:
    pad = torch.nn.functional.pad
    return replace(
        problem,
        edges_s=pad(problem.edges_s, (0, 0, 2, 1), value=-1),
        edges_t=pad(problem.edges_t, (0, 0, 0, 3), value=-1),
        d_s=pad(problem.d_s, (0, 0, 2, 1), value=3.0),
        d_t=pad(problem.d_t, (0, 0, 0, 3), value=3.0),
    )


def dense(cells: torch.Tensor, values: torch.Tensor, nodes: int) -> torch.Tensor:
    return values.new_zeros(nodes * nodes).index_add_(0, cells, values).view(nodes, nodes)


@pytest.mark.parametrize("change", [lambda p: p, padded], ids=["full", "padded"])
def test_the_edge_term_equals_the_listed_one(make_problem, change):
    problem = change(make_problem(batch=2, nodes=9, k=3))
    reference = ListedEdgeTerm(problem)
    v = torch.stack([torch.randperm(9, generator=generator(b)) for b in range(2)])
    plan = torch.rand(2, 9, 9, generator=generator(), dtype=torch.float64)
    uniform = torch.full_like(plan, 1 / 9)
    for b in range(2):
        term = FactoredEdgeTerm(problem, b)
        expected = reference.gradient_at(v, torch.arange(2))[b]
        torch.testing.assert_close(dense(*term.gradient_at(v[b]), 9), expected)
        torch.testing.assert_close(term.gradient(plan[b]), reference.gradient(plan)[b])
        torch.testing.assert_close(term.uniform_gradient(), reference.gradient(uniform)[b])


@pytest.mark.parametrize("nodes", [32, 48, 64])
@pytest.mark.parametrize("vertex_noise", [0.0, 0.1])
def test_same_objective_as_the_dense_frank_wolfe(make_problem, nodes, vertex_noise):
    problem = make_problem(batch=3, nodes=nodes, k=5, view_noise=0.7, vertex_noise=vertex_noise, features=64)
    c_v = problem.c_v
    uniform = torch.full_like(c_v, 1 / nodes)
    reference = ListedEdgeTerm(problem)
    v, steps = dense_frank_wolfe(reference, c_v, torch.arange(3), uniform, reference.gradient(uniform), 30, 3)
    for b, score in enumerate(problem.score(v).tolist()):
        term = FactoredEdgeTerm(problem, b)
        ascent = frank_wolfe(term, c_v[b], uniform[b].clone(), term.uniform_gradient(), 30, 3)
        assert ascent.score == pytest.approx(score, rel=1e-9)
        assert problem.score(ascent.v.repeat(3, 1))[b].item() == pytest.approx(score, rel=1e-9)
        assert len(ascent.objective) == steps[b]


@pytest.mark.parametrize("edge_weight", [0.2, 1.0])
def test_the_objective_never_falls(make_problem, edge_weight):
    problem = make_problem(batch=4, nodes=40, k=5, edge_weight=edge_weight, features=64)
    for b in range(4):
        term, plan = FactoredEdgeTerm(problem, b), torch.full((40, 40), 1 / 40, dtype=torch.float64)
        ascent = frank_wolfe(term, problem.c_v[b], plan, term.uniform_gradient(), 30, 30)
        objective = torch.tensor(ascent.objective)
        assert len(objective) > 2
        assert (objective.diff() >= -1e-9 * objective.abs().max()).all()
        # the running products still describe the final plan, which moved after the last recorded value
        torch.testing.assert_close(plan.sum(dim=1), torch.ones(40, dtype=torch.float64))


def test_running_products_describe_the_plan(make_problem):
    problem = make_problem(batch=1, nodes=24, k=5, features=64)
    term, plan = FactoredEdgeTerm(problem, 0), torch.full((24, 24), 1 / 24, dtype=torch.float64)
    h_plan = term.uniform_gradient()
    frank_wolfe(term, problem.c_v[0], plan, h_plan, 2, 30)
    torch.testing.assert_close(h_plan, term.gradient(plan))
    third = frank_wolfe(term, problem.c_v[0], plan.clone(), h_plan.clone(), 1, 30).objective[0]
    first = frank_wolfe(term, problem.c_v[0], torch.full_like(plan, 1 / 24), term.uniform_gradient(), 3, 30).objective
    assert third == pytest.approx(first[2])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("starts", [None, *((name,) for name in STARTS)], ids=str)
def test_planted_isomorphisms_are_recovered(dtype, starts):
    h = torch.randn(2, 60, 48, generator=generator(), dtype=dtype)
    order = torch.stack([torch.randperm(60, generator=generator(b)) for b in (1, 2)])
    h_t = h.gather(1, order.unsqueeze(2).expand(-1, -1, 48))
    edges_s, edges_t = knn_edges(h, 5), knn_edges(h_t, 5)
    problem = MatchingProblem(
        0.1 * vertex_affinity(h, h_t),
        edges_s,
        edges_t,
        d_s=edge_affinity(h, edges_s),
        d_t=edge_affinity(h_t, edges_t),
        edge_weight=0.2,
    )
    v, steps = solve_edge_free(problem, starts=starts)
    assert torch.equal(order.gather(1, v), torch.arange(60).repeat(2, 1))
    assert steps.shape == (2,)


def test_swaps_reach_a_local_optimum_and_lower_nothing(make_problem):
    problem = make_problem(batch=1, nodes=14, k=4, features=32)
    term = FactoredEdgeTerm(problem, 0)
    for seed in range(4):
        start = torch.randperm(14, generator=generator(seed))
        v = improve_by_swaps(term, problem.c_v[0], start, 1000)
        best = problem.score(v[None]).item()
        assert best >= problem.score(start[None]).item()
        assert sorted(v.tolist()) == list(range(14))
        for i in range(14):
            for j in range(i):
                swapped = v.clone()
                swapped[[i, j]] = v[[j, i]]
                assert problem.score(swapped[None]).item() <= best + 1e-9


def test_polishing_and_more_starts_do_not_lower_the_score(make_problem):
    problem = make_problem(batch=4, nodes=32, k=5, view_noise=1.5, features=32)
    one = problem.score(solve_edge_free(problem, starts=("uniform",), swap_rounds=0)[0])
    polished = problem.score(solve_edge_free(problem, starts=("uniform",))[0])
    every = problem.score(solve_edge_free(problem, swap_rounds=0)[0])
    assert (polished >= one - 1e-9).all()
    assert (every >= one - 1e-9).all()
    first_order = problem.score(assign(-problem.c_v))
    assert (every >= first_order - 1e-9).all()


def test_a_second_run_gives_the_same_matching(make_problem):
    problem = make_problem(batch=2, nodes=30, k=5)
    assert torch.equal(solve_edge_free(problem)[0], solve_edge_free(problem)[0])


def test_graphs_without_edges_and_empty_batches():
    c_v = torch.rand(2, 5, 5, generator=generator(), dtype=torch.float64)
    nothing = torch.full((2, 3, 2), -1)
    factors = torch.zeros(2, 3, 4, dtype=torch.float64)
    problem = MatchingProblem(c_v, nothing, nothing, d_s=factors, d_t=factors)
    assert torch.equal(solve_edge_free(problem)[0], assign(-c_v))
    assert solve_edge_free(problem.select(torch.arange(0)))[0].shape == (0, 5)


def test_what_does_not_fit_is_refused(make_problem):
    problem = make_problem()
    with pytest.raises(ValueError, match="needs the factors d_s and d_t"):
        solve_edge_free(replace(problem, c_e=problem.edge_affinities(), d_s=None, d_t=None, edge_weight=1.0))
    with pytest.raises(ValueError, match=r"needs square problems, got c_v of shape \(1, 2, 3\)"):
        solve_edge_free(MatchingProblem(torch.zeros(1, 2, 3)))
    with pytest.raises(ValueError, match="starts must be some of uniform, first order, sinkhorn, got"):
        solve_edge_free(problem, starts=("identity",))


LARGE = """
import time, torch
from lvm_med_monai.graph import knn_edges
from lvm_med_monai.matching import MatchingProblem, edge_affinity, vertex_affinity
from lvm_med_monai.matching.qap.edge_free import solve_edge_free

torch.set_num_threads(1)
generator = torch.Generator().manual_seed(0)
base = torch.randn(1, {nodes}, 128, generator=generator)
h_s, h_t = (base + 0.9 * torch.randn(base.shape, generator=generator) for _ in range(2))
order = torch.randperm({nodes}, generator=generator)
h_t = h_t[:, order]
edges_s, edges_t = knn_edges(h_s, 5), knn_edges(h_t, 5)
problem = MatchingProblem(vertex_affinity(h_s, h_t), edges_s, edges_t, d_s=edge_affinity(h_s, edges_s),
                          d_t=edge_affinity(h_t, edges_t), edge_weight=0.2)
start = time.perf_counter()
v, steps = solve_edge_free(problem, iterations={iterations})
seconds = time.perf_counter() - start
right = (order[v[0]] == torch.arange({nodes})).double().mean()
score, planted = problem.score(v).item(), problem.score(order.argsort()[None]).item()
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(right.item(), score, planted, int(steps), seconds, peak)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak of memory from /proc")
def test_a_graph_of_3200_nodes_fits_into_memory():
    """Its edge matrix alone would take 1 GB; the process with torch and the input stays below 1.5 GB.

    The peak is VmHWM: getrusage would report that of the parent which forked the process, if it was larger.
    """
    code = LARGE.format(nodes=3200, iterations=30)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    right, score, planted, _, _, kilobytes = (float(x) for x in run.stdout.split())
    assert right > 0.95
    assert score >= 0.999 * planted
    assert kilobytes < 1.5 * 2**20
