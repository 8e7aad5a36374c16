"""Second-order matching by enumeration, for tests."""

from __future__ import annotations

import itertools

import torch

from lvm_med_monai.matching.problem import MatchingProblem

LARGEST = 8


def enumerate_assignments(problem: MatchingProblem) -> torch.Tensor:
    """Return the best of all N! permutations of each square problem, shape (B, N).

    Raises:
        ValueError: there are more than 8 nodes.
    """
    batch, n, _ = problem.c_v.shape
    if n > LARGEST:
        raise ValueError(f"the reference backend enumerates at most {LARGEST} nodes, got {n}")
    return torch.tensor([_best_permutation(problem, b) for b in range(batch)]).view(batch, n)


def _best_permutation(problem: MatchingProblem, b: int) -> tuple[int, ...]:
    c_v = problem.c_v[b].tolist()
    c_e: list[list[float]] = []
    edges_s: list[tuple[int, int, int]] = []
    pairs: dict[tuple[int, int], int] = {}
    if problem.edges_s is not None and problem.edges_t is not None:
        c_e = problem.edge_affinities()[b].tolist()
        edges_s = [(e, i, j) for e, (i, j) in enumerate(problem.edges_s[b].tolist()) if i >= 0]
        pairs = {(a, c): f for f, (a, c) in enumerate(problem.edges_t[b].tolist()) if a >= 0}
    best_score, best_v = float("-inf"), tuple(range(len(c_v)))
    for v in itertools.permutations(range(len(c_v))):
        score = sum(row[a] for row, a in zip(c_v, v, strict=True))
        for e, i, j in edges_s:
            pair = pairs.get((v[i], v[j]))
            if pair is not None:
                score += c_e[e][pair]
        if score > best_score:
            best_score, best_v = score, v
    return best_v
