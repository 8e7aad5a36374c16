"""Multi-start robust tabu search over 2-swaps, compiled by numba."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import numpy as np
import torch
from numba import njit

from lvm_med_monai.matching.problem import MatchingProblem

TOLERANCE = 1e-9  # smallest improvement, relative to the largest gradient entry


def tabu_search(problem: MatchingProblem, starts: torch.Tensor, moves: int) -> torch.Tensor:
    """Search from each start and return the best permutation of each graph.

    A move exchanges the targets a, b of two source nodes i, l: the best of all N (N - 1) / 2 exchanges, even if it
    lowers the score. Taking a node back to a target that it just left is tabu for about N moves, unless the score
    beats the best so far. No assignment problem is solved. The gain of all exchanges comes from the gradient
    ``G = C + H V``,

    ``G[i, b] + G[l, a] - G[i, a] - G[l, b] + W[i, l]``,   ``W[i, l] = H[ib, la] + H[ia, lb]``,

    and a move changes G by four sparse rows of H and W in the rows of i and l.

    A start makes ``moves`` moves, and more only while each improves on its best: so what it returns is a 2-swap
    optimum. Tenures are a function of start and move alone, and graphs are independent of each other: neither the
    number of threads nor the rest of the batch changes a solution.

    Args:
        problem: problems with edges, N = M, on any device; computed in float64 on the CPU.
        starts: permutations, shape (B, S, N), int64.
        moves: moves of each start.

    Returns:
        Best permutations, shape (B, N), int64, on the CPU. Among equal scores the first start wins.

    References:
        Taillard, "Robust taboo search for the quadratic assignment problem", 1991.
    """
    if problem.edges_s is None or problem.edges_t is None:
        raise ValueError("a first-order problem needs no search")
    best = np.full((starts.shape[0], starts.shape[2]), -1, dtype=np.int64)
    arrays = [
        np.ascontiguousarray(x.detach().cpu().numpy())
        for x in (
            problem.c_v.double(),
            problem.edge_affinities().double(),
            problem.edges_s,
            problem.edges_t,
            problem.source_edge,
            problem.target_edge,
            starts,
        )
    ]
    workers = max(1, min(torch.get_num_threads(), len(best)))
    parts = [slice(len(best) * w // workers, len(best) * (w + 1) // workers) for w in range(workers)]
    search = cast(Callable[..., None], _search_graphs)
    if workers == 1:
        search(*arrays, moves, best)
    else:
        # plain threads: numba's own pools abort in forked processes and under concurrent calls
        with ThreadPoolExecutor(workers) as pool:
            jobs = [pool.submit(search, *(x[part] for x in arrays), moves, best[part]) for part in parts]
            for job in jobs:
                job.result()
    return torch.from_numpy(best)


@njit(nogil=True, cache=True)
def _search_graphs(c_v, c_e, edges_s, edges_t, source_edge, target_edge, starts, moves, best):  # type: ignore[no-untyped-def]
    """Fill ``best`` (B, N) with the best permutation of each graph over its starts."""
    n = c_v.shape[1]
    found = np.empty(n, dtype=np.int64)
    for g in range(c_v.shape[0]):
        table_s, table_t = source_edge[g].reshape(n, n), target_edge[g].reshape(n, n)
        out_s, in_s = _incidence(edges_s[g], n, 0), _incidence(edges_s[g], n, 1)
        out_t, in_t = _incidence(edges_t[g], n, 0), _incidence(edges_t[g], n, 1)
        best_score = -np.inf
        for s in range(starts.shape[1]):
            score = _search(
                c_v[g], c_e[g], table_s, table_t, out_s, in_s, out_t, in_t, starts[g, s].copy(), moves, s, found
            )
            if score > best_score:
                best_score = score
                best[g] = found


@njit(nogil=True, cache=True)
def _search(c, m, table_s, table_t, out_s, in_s, out_t, in_t, v, moves, start, best):  # type: ignore[no-untyped-def]
    """Search from ``v``, which is overwritten; fill ``best`` (N) and return its score."""
    n = len(v)
    gradient = c.copy()
    for i in range(n):
        _add_row(gradient, m, out_s, in_s, out_t, in_t, i, v[i], 1.0)
    between = np.zeros((n, n))
    score = 0.0
    for i in range(n):
        score += (c[i, v[i]] + gradient[i, v[i]]) / 2
        for l in range(i + 1, n):
            between[i, l] = _between(m, table_s, table_t, i, l, v[i], v[l])
    least = TOLERANCE * np.abs(gradient).max()
    until = np.zeros((n, n), dtype=np.int64)  # node i may not return to target a before this move
    best[:] = v
    best_score = score
    move, improved = 0, True
    while move < moves or improved:
        move += 1
        improved = False
        gain, r, s = _best_swap(gradient, between, v, until, move, best_score + least - score)
        if r < 0:
            continue  # all exchanges are tabu, as happens with a handful of nodes
        a, b = v[r], v[s]
        _add_row(gradient, m, out_s, in_s, out_t, in_t, r, a, -1.0)
        _add_row(gradient, m, out_s, in_s, out_t, in_t, s, b, -1.0)
        _add_row(gradient, m, out_s, in_s, out_t, in_t, r, b, 1.0)
        _add_row(gradient, m, out_s, in_s, out_t, in_t, s, a, 1.0)
        v[r], v[s] = b, a
        for l in range(n):
            if l not in (r, s):
                between[min(l, r), max(l, r)] = _between(m, table_s, table_t, l, r, v[l], b)
                between[min(l, s), max(l, s)] = _between(m, table_s, table_t, l, s, v[l], a)
        # pseudo-random tenures of about N moves; kernel.py draws the same ones
        draw = (move * 40503 + start * 30011) & 0x7FFF
        until[r, a] = move + 9 * n // 10 + draw % (n // 4 + 2)
        until[s, b] = move + 9 * n // 10 + draw // 64 % (n // 4 + 2)
        score += gain
        if score > best_score + least:
            best_score, improved = score, True
            best[:] = v
    return best_score


@njit(nogil=True, cache=True)
def _best_swap(gradient, between, v, until, move, aspired):  # type: ignore[no-untyped-def]
    """Gain and nodes of the best exchange that is not tabu or gains more than ``aspired``; node -1 if none is."""
    best, r, s = -np.inf, -1, -1
    for i in range(len(v)):
        a = v[i]
        own = gradient[i, a]
        for l in range(i + 1, len(v)):
            b = v[l]
            gain = gradient[i, b] + gradient[l, a] - own - gradient[l, b] + between[i, l]
            if gain > best and (gain > aspired or until[i, b] <= move or until[l, a] <= move):
                best, r, s = gain, i, l
    return best, r, s


@njit(nogil=True, cache=True)
def _add_row(gradient, m, out_s, in_s, out_t, in_t, i, a, sign):  # type: ignore[no-untyped-def]
    """Add ``sign * H[ia]`` to the gradient."""
    for (first_s, edge_s, end_s), (first_t, edge_t, end_t) in (((out_s), (out_t)), ((in_s), (in_t))):
        for e in range(first_s[i], first_s[i + 1]):
            for f in range(first_t[a], first_t[a + 1]):
                gradient[end_s[e], end_t[f]] += sign * m[edge_s[e], edge_t[f]]


@njit(nogil=True, cache=True)
def _between(m, table_s, table_t, i, l, a, b):  # type: ignore[no-untyped-def]
    """``H[ib, la] + H[ia, lb]``: what edges between i and l are paid before and after an exchange of a and b."""
    total = 0.0
    for e in (table_s[i, l], table_s[l, i]):
        for f in (table_t[a, b], table_t[b, a]):
            if e >= 0 and f >= 0:
                total += m[e, f]
    return total


@njit(nogil=True, cache=True)
def _incidence(edges, nodes, side):  # type: ignore[no-untyped-def]
    """Lists of the edges at each node: bounds (N + 1), edges in the order of their node, and their other ends."""
    first = np.zeros(nodes + 1, dtype=np.int64)
    for e in range(len(edges)):
        if edges[e, side] >= 0:
            first[edges[e, side] + 1] += 1
    first = np.cumsum(first)
    place = first.copy()
    edge, other = np.empty(first[-1], dtype=np.int64), np.empty(first[-1], dtype=np.int64)
    for e in range(len(edges)):
        node = edges[e, side]
        if node >= 0:
            edge[place[node]], other[place[node]] = e, edges[e, 1 - side]
            place[node] += 1
    return first, edge, other
