"""What the search kernel must do. ``test_kernel.py`` runs this in Triton's interpreter and, if there is one, a GPU."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import triton

from lvm_med_monai.matching import MatchingProblem, solve
from lvm_med_monai.matching.qap.budget import random_starts
from lvm_med_monai.matching.qap.kernel import search_kernel, tabu_kernel_search
from lvm_med_monai.matching.qap.tabu import tabu_search

DEVICE = "cuda" if isinstance(search_kernel, triton.JITFunction) else "cpu"


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def to_device(problem: MatchingProblem) -> MatchingProblem:
    return problem._map(lambda tensor: tensor.to(DEVICE))


def search(
    problem: MatchingProblem, starts: torch.Tensor, moves: int, tabu: bool = True
) -> tuple[torch.Tensor, torch.Tensor]:
    """Best permutation of each start and its score, both checked, on the CPU."""
    v, score = (x.cpu() for x in tabu_kernel_search(to_device(problem), starts.to(DEVICE), moves, tabu))
    assert torch.equal(v.sort(dim=2).values, torch.arange(v.shape[2]).expand_as(v))
    torch.testing.assert_close(score.double(), rescored(problem, v), rtol=1e-5, atol=1e-5)
    return v, score


def rescored(problem: MatchingProblem, v: torch.Tensor) -> torch.Tensor:
    return torch.stack([problem.score(v[:, s]) for s in range(v.shape[1])], dim=1).double()


def test_tiny_problems_reach_the_enumerated_optimum_as_often_as_on_the_cpu(make_problem):
    """200 problems, one start each, hardly more moves than a descent takes.

    Both walk the same path. The CPU goes on while it improves, the kernel does not.
    """
    reached, expected, same, problems = 0, 0, 0, 0
    for nodes, batch in ((6, 150), (7, 30), (8, 20)):
        problem = make_problem(batch=batch, nodes=nodes, k=2)
        starts = random_starts(batch, 1, nodes, generator())
        found = rescored(problem, search(problem, starts, nodes)[0])[:, 0]
        on_cpu = problem.score(tabu_search(problem, starts, nodes))
        best = solve(problem, "reference").score
        assert (found <= on_cpu + 1e-5 * best.abs()).all()
        same += int((on_cpu - found <= 1e-5 * best.abs()).sum())
        reached += int((best - found <= 1e-5 * best.abs()).sum())
        expected += int((best - on_cpu <= 1e-5 * best.abs()).sum())
        problems += batch
    assert problems == 200
    assert same >= 0.97 * problems
    assert reached >= expected - 0.02 * problems
    assert reached >= 0.85 * problems


@pytest.mark.parametrize(("nodes", "k", "moves"), [(12, 3, 30), (20, 4, 40)])
def test_the_same_path_as_on_the_cpu(make_problem, nodes, k, moves):
    """Sizes that leave cells of the tiles empty; several starts, whose tenures differ."""
    problem = make_problem(batch=1, nodes=nodes, k=k)
    starts = random_starts(1, 2, nodes, generator())
    v, _ = search(problem, starts, moves)
    on_cpu = problem.score(tabu_search(problem, starts, moves))
    torch.testing.assert_close(rescored(problem, v).amax(dim=1), on_cpu, rtol=1e-5, atol=0.0)


def test_without_tabu_no_exchange_improves(make_problem):
    problem = make_problem(batch=3, nodes=6, k=3, edge_weight=1.0)
    v, _ = search(problem, random_starts(3, 1, 6, generator()), 10, tabu=False)
    score = rescored(problem, v)
    for i in range(6):
        for l in range(i):
            swapped = v.clone()
            swapped[:, :, [i, l]] = v[:, :, [l, i]]
            assert (rescored(problem, swapped) <= score + 1e-5).all()


def test_padded_edges_and_rectangular_problems(make_problem):
    square = make_problem(batch=2, nodes=5, k=2)

    def keep(edges, nodes):
        return torch.where((edges < nodes).all(dim=2, keepdim=True), edges, -1)

    problem = replace(square, c_v=square.c_v[:, :, :4], edges_t=keep(square.edges_t, 4))
    solution = solve(to_device(problem), "triton", starts=2, generator=generator())
    assert solution.backend == "triton"
    assert solution.iterations.tolist() == [30, 30]
    torch.testing.assert_close(solution.score.cpu(), problem.score(solution.v.cpu()))
    torch.testing.assert_close(solution.score.cpu(), solve(problem, "numba", starts=2, generator=generator()).score)


def test_a_handful_of_nodes():
    """Fewer exchanges than tabu moves, and none at all."""
    for nodes in (1, 2):
        edges = torch.tensor([[[0, 1]]]) if nodes > 1 else torch.full((1, 1, 2), -1)
        problem = MatchingProblem(
            torch.randn(1, nodes, nodes, generator=generator()), edges, edges, torch.ones(1, 1, 1)
        )
        v, _ = search(problem, random_starts(1, 1, nodes, generator()), 3)
        torch.testing.assert_close(problem.score(v[:, 0]), solve(problem, "reference").score)
