"""Multi-start robust tabu search as one Triton kernel: a program runs one start of one graph."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from lvm_med_monai.matching.problem import MatchingProblem

LARGEST = 32
NO_EDGE = tl.constexpr(-(2**29))  # twice this is an int32, and no offset into c_e of 32 nodes comes near
TOLERANCE = tl.constexpr(1e-6)  # smallest improvement, relative to the largest gradient entry
SMALLEST_BLOCK = 16  # narrower tiles leave lanes without cells, and spill on sm_90


def launch_settings(nodes: int, cuda: bool = True) -> dict[str, int]:
    """Return the launch options: the tile width, and settings that compile without spills (README.md).

    Args:
        nodes: N, at most 32.
        cuda: whether the target is a CUDA device rather than a ROCm one.
    """
    block = max(SMALLEST_BLOCK, triton.next_power_of_2(nodes))
    if block <= 16:
        return {"BLOCK": block, "num_warps": 4}
    # left alone, ptxas aims at 128 registers on sm_90 and spills; ROCm has no such option and needs none
    return {"BLOCK": block, "num_warps": 8} | ({"maxnreg": 160} if cuda else {})


def tabu_kernel_search(
    problem: MatchingProblem, starts: torch.Tensor, moves: int, tabu: bool = True
) -> tuple[torch.Tensor, torch.Tensor]:
    """Search from each start as ``tabu.py`` does, in float32, all starts of all graphs in one launch.

    Nothing waits for the device. Every start makes exactly ``moves`` moves, so that the launch can be captured in a
    CUDA graph; unlike the numba search it may therefore end one exchange short of a 2-swap optimum.

    Args:
        problem: problems with edges, N = M <= 32.
        starts: permutations, shape (B, S, N), int64, on the problem's device.
        moves: moves of each start.
        tabu: whether tabu moves are excluded and a start goes on downhill; without, it stops at its 2-swap optimum.

    Returns:
        Best permutation of each start, shape (B, S, N), int64, and its score as the kernel tracked it, shape (B, S),
        float32.

    Raises:
        ValueError: more than 32 nodes, no edges, or tensors on the CPU without Triton's interpreter.
    """
    batch, count, n = starts.shape
    if problem.edges_s is None or problem.edges_t is None:
        raise ValueError("a first-order problem needs no search")
    if n > LARGEST:
        raise ValueError(f"the triton backend takes at most {LARGEST} nodes, got {n}")
    if starts.device.type == "cpu" and isinstance(search_kernel, triton.JITFunction):
        raise ValueError("the triton backend needs tensors on a GPU")
    # poisoned, so that a program that does not run cannot pass for one that does
    best = torch.full((batch, count, n), -1, dtype=torch.int32, device=starts.device)
    score = torch.full((batch, count), torch.nan, device=starts.device)
    if batch > 0:
        search_kernel[(batch * count,)](
            problem.c_v.float().contiguous(),
            problem.edge_affinities().float().contiguous(),
            _offsets(problem.source_edge, problem.edges_t.shape[1]),
            _offsets(problem.target_edge, 1),
            starts.int().contiguous(),
            best,
            score,
            count,
            moves,
            n,
            problem.edges_s.shape[1] * problem.edges_t.shape[1],
            TABU=tabu,
            **launch_settings(n, cuda=torch.version.hip is None),
        )
    return best.long(), score


def _offsets(edge: torch.Tensor, stride: int) -> torch.Tensor:
    """Turn edge indices into offsets into ``c_e``; the sum with another offset is negative where there is no edge."""
    return torch.where(edge >= 0, edge * stride, NO_EDGE.value).int().contiguous()


@triton.jit
def _paid(m, cell):  # type: ignore[no-untyped-def]
    """Edge affinities at ``cell``, the sum of the offsets of two edges; 0 where one of them is missing."""
    return tl.load(m + cell, mask=cell >= 0, other=0.0)


@triton.jit
def _ordered(x):  # type: ignore[no-untyped-def]
    """Exchange floats and integers of the same order: its own inverse up to the type."""
    return tl.where(x < 0, x ^ 0x7FFFFFFF, x)


@triton.jit
def search_kernel(  # type: ignore[no-untyped-def]
    c_v,
    c_e,
    offset_s,
    offset_t,
    starts,
    best_v,
    best_score,
    count,
    moves,
    n,
    edge_pairs,
    BLOCK: tl.constexpr,
    TABU: tl.constexpr,
):
    """Run start ``program % count`` of graph ``program // count``.

    All state is in registers: ``v``, ``gradient[i, l] = G[i, v(l)]``, ``between`` (W of tabu.py) and ``until[i, l]``,
    the move before which node i may not return to target v(l). Global memory is read only, but for two stores at the
    end: no program or warp can see a value before it is written.
    """
    program = tl.program_id(0)
    graph = (program // count).to(tl.int64)
    start = program % count
    c_v += graph * n * n
    m = c_e + graph * edge_pairs
    offset_s += graph * n * n
    offset_t += graph * n * n
    node = tl.arange(0, BLOCK)
    i = node[:, None]
    l = node[None, :]
    real = node < n
    cells = (i < n) & (l < n)
    upper = (l > i) & cells
    diagonal = (i == l) & cells
    v = tl.load(starts + program * n + node, mask=real, other=0)

    own = tl.load(c_v + i * n + v[None, :], mask=cells, other=0.0)
    gradient = own
    for j in range(0, n):
        w = tl.sum(tl.where(node == j, v, 0), 0)
        to_j = tl.load(offset_s + node * n + j, mask=real, other=NO_EDGE)
        of_j = tl.load(offset_s + j * n + node, mask=real, other=NO_EDGE)
        to_w = tl.load(offset_t + v * n + w, mask=real, other=NO_EDGE)
        of_w = tl.load(offset_t + w * n + v, mask=real, other=NO_EDGE)
        gradient += _paid(m, to_j[:, None] + to_w[None, :]) + _paid(m, of_j[:, None] + of_w[None, :])
    score = tl.sum(tl.sum(tl.where(diagonal, own + gradient, 0.0), 1), 0) * 0.5
    least = tl.max(tl.max(tl.where(cells, tl.abs(gradient), 0.0), 1), 0) * TOLERANCE

    to_l = tl.load(offset_s + i * n + l, mask=cells, other=NO_EDGE)
    of_l = tl.load(offset_s + l * n + i, mask=cells, other=NO_EDGE)
    to_t = tl.load(offset_t + v[:, None] * n + v[None, :], mask=cells, other=NO_EDGE)
    of_t = tl.load(offset_t + v[None, :] * n + v[:, None], mask=cells, other=NO_EDGE)
    between = _paid(m, to_l + to_t) + _paid(m, of_l + of_t) + _paid(m, to_l + of_t) + _paid(m, of_l + to_t)

    best = score
    found = v
    until = tl.zeros((BLOCK, BLOCK), tl.int32)
    place = tl.reshape(i * BLOCK + l, (BLOCK * BLOCK,))
    for move in range(1, moves + 1):
        kept = tl.sum(tl.where(diagonal, gradient, 0.0), 1)
        gain = gradient + tl.trans(gradient) - kept[:, None] - kept[None, :] + between
        allowed = upper
        if TABU:
            free = (until <= move) | (tl.trans(until) <= move)
            aspired = tl.where(gain > best + least - score, 1, 0) > 0
            allowed = upper & (free | aspired)
        gain = tl.where(allowed, gain, float("-inf"))
        # reductions of 32-bit integers over all cells are single instructions on sm_80 and later
        order = tl.reshape(_ordered(gain.to(tl.int32, bitcast=True)), (BLOCK * BLOCK,))
        most = tl.max(order, 0)
        chosen = tl.min(tl.where(order == most, place, BLOCK * BLOCK), 0)
        largest = _ordered(most).to(tl.float32, bitcast=True)
        r = chosen // BLOCK
        s = chosen % BLOCK
        if largest > (float("-inf") if TABU else least):
            a = tl.sum(tl.where(node == r, v, 0), 0)
            b = tl.sum(tl.where(node == s, v, 0), 0)
            v = tl.where(node == r, b, tl.where(node == s, a, v))
            swapped = tl.where(l == r, s, tl.where(l == s, r, l)) + 0 * i
            # edges between each node and r, s, and between its target and b, a
            to_r = tl.load(offset_s + node * n + r, mask=real, other=NO_EDGE)
            of_r = tl.load(offset_s + r * n + node, mask=real, other=NO_EDGE)
            to_s = tl.load(offset_s + node * n + s, mask=real, other=NO_EDGE)
            of_s = tl.load(offset_s + s * n + node, mask=real, other=NO_EDGE)
            to_b = tl.load(offset_t + v * n + b, mask=real, other=NO_EDGE)
            of_b = tl.load(offset_t + b * n + v, mask=real, other=NO_EDGE)
            to_a = tl.load(offset_t + v * n + a, mask=real, other=NO_EDGE)
            of_a = tl.load(offset_t + a * n + v, mask=real, other=NO_EDGE)
            gradient = tl.gather(gradient, swapped, 1)
            gradient += _paid(m, to_r[:, None] + to_b[None, :])
            gradient -= _paid(m, to_r[:, None] + to_a[None, :])
            gradient += _paid(m, of_r[:, None] + of_b[None, :])
            gradient -= _paid(m, of_r[:, None] + of_a[None, :])
            gradient += _paid(m, to_s[:, None] + to_a[None, :])
            gradient -= _paid(m, to_s[:, None] + to_b[None, :])
            gradient += _paid(m, of_s[:, None] + of_a[None, :])
            gradient -= _paid(m, of_s[:, None] + of_b[None, :])
            at_r = _paid(m, to_r + to_b) + _paid(m, of_r + of_b) + _paid(m, to_r + of_b) + _paid(m, of_r + to_b)
            at_s = _paid(m, to_s + to_a) + _paid(m, of_s + of_a) + _paid(m, to_s + of_a) + _paid(m, of_s + to_a)
            between = tl.where(i == r, at_r[None, :], tl.where(l == r, at_r[:, None], between))
            between = tl.where(i == s, at_s[None, :], tl.where(l == s, at_s[:, None], between))
            if TABU:
                draw = (move * 40503 + start * 30011) & 0x7FFF
                tenure_a = move + 9 * n // 10 + draw % (n // 4 + 2)
                tenure_b = move + 9 * n // 10 + draw // 64 % (n // 4 + 2)
                until = tl.gather(until, swapped, 1)
                until = tl.where((i == r) & (l == s), tenure_a, tl.where((i == s) & (l == r), tenure_b, until))
            score += largest
            better = tl.where(score > best + least, 1, 0)
            best = tl.where(better > 0, score, best)
            found = tl.where(better > 0, v, found)
    tl.store(best_v + program * n + node, found, mask=real)
    tl.store(best_score + program, best)
