from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings, strategies as st

from lvm_med_monai.matching import MatchingProblem


def as_matrix(problem: MatchingProblem) -> MatchingProblem:
    return replace(problem, c_e=problem.edge_affinities(), d_s=None, d_t=None, edge_weight=1.0)


def score_by_hand(problem: MatchingProblem, b: int, v: list[int]) -> float:
    """The definition, with a loop over all pairs of edges."""
    score = sum(float(problem.c_v[b, i, a]) for i, a in enumerate(v) if a >= 0)
    for e, (i, j) in enumerate(problem.edges_s[b].tolist()):
        for f, (a, c) in enumerate(problem.edges_t[b].tolist()):
            if i >= 0 and a >= 0 and v[i] == a and v[j] == c:
                score += float(problem.edge_affinities()[b, e, f])
    return score


@given(n=st.integers(2, 5), m=st.integers(2, 5), seed=st.integers(0, 10**6), pad=st.integers(0, 2))
@settings(max_examples=40, deadline=None)
def test_score_equals_its_definition(n, m, seed, pad):
    generator = torch.Generator().manual_seed(seed)

    def edges(nodes):
        cells = torch.stack([torch.randperm(nodes * (nodes - 1), generator=generator) for _ in range(2)])[
            :, : nodes + 1
        ]
        source, other = cells // (nodes - 1), cells % (nodes - 1)
        drawn = torch.stack([source, other + (other >= source)], dim=2)
        return torch.cat([drawn, torch.full((2, pad, 2), -1)], dim=1)

    edges_s, edges_t = edges(n), edges(m)
    c_e = torch.randn(2, edges_s.shape[1], edges_t.shape[1], generator=generator, dtype=torch.float64)
    problem = MatchingProblem(torch.randn(2, n, m, generator=generator, dtype=torch.float64), edges_s, edges_t, c_e)
    targets = torch.stack([torch.randperm(max(n, m), generator=generator)[:n] for _ in range(2)])
    v = torch.where(targets < m, targets, -1)
    expected = [score_by_hand(problem, b, v[b].tolist()) for b in range(2)]
    assert problem.score(v).tolist() == pytest.approx(expected)


def test_factors_and_matrix_agree(make_problem):
    problem = make_problem()
    v = torch.stack([torch.randperm(6, generator=torch.Generator().manual_seed(s)) for s in range(4)])
    torch.testing.assert_close(problem.score(v), as_matrix(problem).score(v))


def test_soft_score_of_a_permutation_is_its_score(make_problem):
    problem = make_problem()
    v = torch.stack([torch.randperm(6, generator=torch.Generator().manual_seed(s)) for s in range(4)])
    plan = torch.nn.functional.one_hot(v, 6).double()
    torch.testing.assert_close(problem.soft_edge_score(plan), problem.edge_score(v))


def test_padding_never_counts(make_problem):
    problem = as_matrix(make_problem())
    padded = MatchingProblem(
        problem.c_v,
        torch.nn.functional.pad(problem.edges_s, (0, 0, 0, 3), value=-1),
        torch.nn.functional.pad(problem.edges_t, (0, 0, 0, 2), value=-1),
        torch.nn.functional.pad(problem.c_e, (0, 2, 0, 3), value=100.0),
    )
    v = torch.arange(6).repeat(4, 1)
    torch.testing.assert_close(padded.score(v), problem.score(v))
    plan = torch.full((4, 6, 6), 1 / 6, dtype=torch.float64)
    torch.testing.assert_close(padded.soft_edge_score(plan), problem.soft_edge_score(plan))


@pytest.mark.parametrize("form", ["matrix", "factors"])
def test_score_is_differentiable(make_problem, form):
    problem = make_problem(batch=1, nodes=4)
    problem = as_matrix(problem) if form == "matrix" else problem
    names = ["c_v", "c_e"] if form == "matrix" else ["c_v", "d_s", "d_t"]
    v = torch.tensor([[1, 0, 2, 3]])

    def score(*values):
        return replace(problem, **dict(zip(names, values, strict=True))).score(v)

    assert torch.autograd.gradcheck(score, [getattr(problem, name).clone().requires_grad_() for name in names])


def test_detach_and_select_keep_everything_else(make_problem):
    problem = make_problem()
    problem = replace(problem, c_v=problem.c_v.clone().requires_grad_())
    assert not problem.detach().c_v.requires_grad
    chosen = problem.select(torch.tensor([2, 2]))
    v = torch.arange(6).repeat(4, 1)
    assert torch.equal(chosen.score(v[:2]), problem.score(v)[[2, 2]])
    assert chosen.edge_weight == problem.edge_weight


C_V, E1, E2 = torch.zeros(2, 3, 3), torch.tensor([[[0, 1]]] * 2), torch.tensor([[[0, 1], [1, 2]]] * 2)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"c_v": torch.zeros(3, 3)}, r"c_v must be floating and of shape \(B, N, M\), got float32 \(3, 3\)"),
        ({"c_v": torch.zeros(2, 3, 3, dtype=torch.int64)}, "got int64"),
        ({"c_v": torch.full((2, 3, 3), torch.nan)}, "c_v of shape .* holds NaN"),
        ({"c_v": torch.full((2, 3, 3), torch.inf)}, "c_v of shape .* holds NaN or infinite"),
        ({"edges_s": E1}, "need both edges_s and edges_t"),
        ({"c_e": torch.zeros(2, 1, 1)}, "need both edges_s and edges_t"),
        ({"edges_s": E1, "edges_t": E2}, "either c_e or both factors"),
        ({"edges_s": E1, "edges_t": E2, "d_s": torch.zeros(2, 1, 4)}, "either c_e or both factors"),
        (
            {"edges_s": E1, "edges_t": E2, "c_e": torch.zeros(2, 2, 1)},
            r"c_e must have shape \(2, 1, 2\), got .*\(2, 2, 1\)",
        ),
        ({"edges_s": E1, "edges_t": E2, "c_e": torch.full((2, 1, 2), torch.nan)}, "c_e of shape .* holds NaN"),
        (
            {"edges_s": E1, "edges_t": E2, "d_s": torch.zeros(2, 1, 4), "d_t": torch.zeros(2, 2, 5)},
            r"d_t must have shape \(2, 2, 4\)",
        ),
        (
            {"edges_s": E1, "edges_t": E2, "c_e": torch.zeros(2, 1, 2), "edge_weight": 0.5},
            "edge_weight belongs to the factors",
        ),
        ({"edges_s": E1.int(), "edges_t": E2, "c_e": torch.zeros(2, 1, 2)}, "edges_s must be int64"),
        (
            {"edges_s": E1[:1], "edges_t": E2, "c_e": torch.zeros(2, 1, 2)},
            r"edges_s must be int64 of shape \(2, edges, 2\)",
        ),
        ({"edges_s": E1 + 2, "edges_t": E2, "c_e": torch.zeros(2, 1, 2)}, r"node indices in 0 .. 2"),
        ({"edges_s": E1 - 1, "edges_t": E2, "c_e": torch.zeros(2, 1, 2)}, "-1 twice for padding"),
        ({"edges_s": E1 * 0, "edges_t": E2, "c_e": torch.zeros(2, 1, 2)}, "edges_s holds a self-loop"),
        ({"edges_s": E1, "edges_t": E2[:, [0, 0]], "c_e": torch.zeros(2, 1, 2)}, "edges_t holds the same edge twice"),
    ],
)
def test_bad_problems_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        MatchingProblem(**{"c_v": C_V, **fields})


def test_wrong_assignment_shape_is_refused():
    with pytest.raises(ValueError, match=r"v must have shape \(2, 3\), got \(2, 4\)"):
        MatchingProblem(C_V).score(torch.zeros(2, 4, dtype=torch.int64))


def test_first_order_problems_have_no_edges():
    problem = MatchingProblem(C_V)
    assert not problem.second_order
    assert problem.edge_score(torch.zeros(2, 3, dtype=torch.int64)).tolist() == [0, 0]
    for ask in (problem.edge_affinities, lambda: problem.target_edge):
        with pytest.raises(ValueError, match="first-order problem"):
            ask()
