"""2-swap local search over many starts at once."""

from __future__ import annotations

import torch

from lvm_med_monai.matching.qap.dense import DenseEdgeTerm
from lvm_med_monai.matching.qap.listed import ListedEdgeTerm

TOLERANCE = 1e-9  # smallest gain of a swap, relative to the largest gradient entry


def improve_by_swaps(
    term: DenseEdgeTerm | ListedEdgeTerm, c_v: torch.Tensor, graph: torch.Tensor, v: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Exchange the targets of two source nodes, best pair first, until no exchange raises the score.

    Swapping the targets of i and l gains the cells (i, v(l)) and (l, v(i)) of V and loses (i, v(i)) and (l, v(l)). With
    the gradient ``G = C + H V`` the score changes by

    ``G[gained] - G[lost] + H[gained 1, gained 2] + H[lost 1, lost 2]``,

    all other entries of H between the four cells being zero, as no edge is a self-loop. After a swap G changes by four
    rows of H. Starts that reach their local optimum leave the batch.

    Args:
        term: edge terms of B graphs.
        c_v: vertex affinities of the graphs, shape (B, N, N).
        graph: graph of each start, shape (P,).
        v: permutations to start from, shape (P, N).

    Returns:
        Locally optimal permutations, shape (P, N), and their scores, shape (P,).
    """
    n = v.shape[1]
    pairs = torch.triu_indices(n, n, offset=1, device=v.device)
    best, score = v.clone(), c_v.new_empty(len(v))
    active = torch.arange(len(v), device=v.device)
    gradient = (c_v[graph] + term.gradient_at(v, graph)).flatten(1)
    least = TOLERANCE * (1 + gradient.abs().amax(dim=1))
    sign = torch.tensor([1.0, 1.0, -1.0, -1.0], dtype=c_v.dtype, device=c_v.device)
    while len(active) > 0:
        to = v[:, pairs]
        gained, lost = pairs * n + to.flip(1), pairs * n + to
        change = gradient.gather(1, gained.flatten(1)) - gradient.gather(1, lost.flatten(1))
        gain = change.view_as(gained).sum(dim=1) + term.between(gained[:, 0], gained[:, 1], graph)
        gain += term.between(lost[:, 0], lost[:, 1], graph)
        largest, swap = gain.max(dim=1)
        done = largest <= least
        if done.any():
            best[active[done]] = v[done]
            score[active[done]] = _score(gradient[done], c_v[graph[done]], v[done])
            going = ~done
            active, graph, v, gradient, least = active[going], graph[going], v[going], gradient[going], least[going]
            gained, lost, swap = gained[going], lost[going], swap[going]
        index = swap.view(-1, 1, 1).expand(-1, 2, 1)
        cells = torch.cat([gained.gather(2, index), lost.gather(2, index)], dim=1).squeeze(2)
        term.add_rows(gradient, graph, cells, sign)
        v = v.scatter(1, cells[:, :2] // n, cells[:, :2] % n)
    return best, score


def _score(gradient: torch.Tensor, c_v: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """``<C, V> + <V, H V> / 2`` with ``gradient = C + H V``."""
    return (c_v + gradient.view_as(c_v)).gather(2, v.unsqueeze(2)).sum(dim=(1, 2)) / 2
