"""Second-order matching: which source node goes to which target node, given vertex and edge affinities."""

from __future__ import annotations

from typing import NamedTuple

import torch

from lvm_med_monai.matching.bound import dual_bound
from lvm_med_monai.matching.problem import MatchingProblem
from lvm_med_monai.matching.qap.backends import BACKENDS, Effort, choose, search
from lvm_med_monai.matching.qap.operator import matching
from lvm_med_monai.matching.seeds import Randomness, key_of

__all__ = ["BACKENDS", "Solution", "solve"]


class Solution(NamedTuple):
    """Solutions of a batch of matching problems.

    Attributes:
        v: target of each source node, shape (B, N), int64; -1 where N > M leaves a node unmatched.
        score: score of ``v``, shape (B,).
        iterations: tabu moves or Frank-Wolfe steps of each graph over all starts, shape (B,); 0 for first-order
            problems.
        backend: name of the backend that ran.
        bound: proved upper bound on the score of any assignment, shape (B,), float64; None if it was not asked for.
    """

    v: torch.Tensor
    score: torch.Tensor
    iterations: torch.Tensor
    backend: str
    bound: torch.Tensor | None = None

    def gap(self) -> torch.Tensor:
        """Return ``(bound - score) / |score|``, the most by which a better solution can exceed this one, shape (B,).

        Raises:
            ValueError: no bound was asked for.
        """
        if self.bound is None:
            raise ValueError("the solution has no bound: call solve with bound=True")
        return (self.bound - self.score) / self.score.abs().clamp(min=torch.finfo(self.score.dtype).tiny)


def solve(
    problem: MatchingProblem,
    backend: str = "auto",
    starts: int | None = None,
    effort: float = 1.0,
    iterations: int = 30,
    patience: int = 3,
    generator: Randomness = None,
    bound: bool = False,
) -> Solution:
    """Maximise the score of a batch of matching problems (paper Eq. 4).

    A first-order problem is one exact assignment. A second-order problem is NP-hard, and the backends are different
    heuristics with one contract: the score returned is that of the permutation returned, computed anew from the
    problem.

    - ``"numba"``: tabu search over 2-swaps on the CPU, in float64; returns a 2-swap optimum.
    - ``"triton"``: the same search in one GPU launch, in float32, up to 32 nodes; does not wait for the device.
    - ``"torch"``: Frank-Wolfe and 2-swaps, on any device and for any size, in float64; returns a 2-swap optimum that is
      at least as good as the first-order assignment. Problems of more than 64 nodes with edge factors are solved one by
      one, in the dtype of ``c_v``, and without the edge matrix.
    - ``"reference"``: the true optimum of up to 8 nodes.
    - ``"auto"``: numba up to 64 nodes on the CPU and Triton up to 32 nodes on a GPU, where installed; else torch.

    Targets are relabelled at random, so that ties never favour the identity, and no search starts from the identity,
    which would leak the label. A seed decides the solution, whatever the number of threads.

    Under ``torch.compile`` the search is one operator of the graph.

    Args:
        problem: problems to solve; gradients are not tracked.
        backend: one of the above; tensors are copied to the CPU and back where it needs them there.
        starts: starts of the tabu search, None: 16. For ``"torch"``, random starts of the 2-swap search beside three
            Frank-Wolfe starts, None: 16 up to 24 nodes, else 0.
        effort: multiplies the moves of a tabu start, 3 N up to 16 nodes and 6 N from 32 nodes on.
        iterations: most Frank-Wolfe steps of a start.
        patience: Frank-Wolfe steps without improvement before a start stops.
        generator: CPU generator of the relabelling and the random starts, or a key: an int64 tensor on the CPU whose
            numbers decide them, for compiled graphs. None uses torch's global generator.
        bound: also prove an upper bound with ``dual_bound``, which takes longer than the search; not under
            ``torch.compile``.

    Raises:
        ValueError: unknown backend, a problem too large for it or on the wrong device, or no start.
        ImportError: the backend asked for is not installed.
    """
    problem = problem.detach()
    backend = choose(backend, max(problem.c_v.shape[1:]), problem.c_v.device.type)
    if isinstance(generator, torch.Tensor) or torch.compiler.is_compiling():
        check = torch.compiler.is_compiling()
        v, steps = matching(*problem.parts(), check, key_of(generator), backend, starts, effort, iterations, patience)
    else:
        budget = Effort(starts, effort, iterations, patience)
        v, steps = search(problem, backend, budget, generator)
    proved = dual_bound(problem) if bound else None
    return Solution(v, problem.score(v), steps, backend, proved)
