"""What solving allocates."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lvm_med_monai.matching import imle, sinkhorn, solve

LARGEST = 200 * 80 * 80
SOLVERS = {
    "tabu": lambda problem: solve(problem, "numba"),
    "Frank-Wolfe": lambda problem: solve(problem, "torch"),
    "I-MLE, skipped": lambda problem: imle(problem, 80.0),
    "I-MLE, unsaturated, edge noise": lambda problem: imle(problem, 0.1, edge_noise=0.2),
    "sinkhorn": sinkhorn,
    "score and backward": lambda problem: problem.score(torch.arange(16).expand(200, -1)).sum().backward(),
}


class Allocations(TorchDispatchMode):
    """Remembers the largest tensor that an operation returned."""

    largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in torch.utils._pytree.tree_leaves(result):
            # an expanded view allocates nothing
            if isinstance(tensor, torch.Tensor):
                self.largest = max(self.largest, tensor.untyped_storage().nbytes() // tensor.element_size())
        return result


@pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)
def test_200_graphs_of_16_nodes_need_no_more_than_their_edge_affinities(make_problem, solver):
    """200 x 80 x 80 numbers, never the N^4 of a quadratic assignment problem."""
    problem = make_problem(batch=200, nodes=16, k=5, features=64)
    problem.c_v.requires_grad_()
    with Allocations() as seen:
        solver(problem)
    assert LARGEST / 10 < seen.largest <= LARGEST
