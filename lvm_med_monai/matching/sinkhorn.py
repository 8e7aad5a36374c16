"""Entropic assignment: the soft counterpart of ``assign``."""

from __future__ import annotations

import torch

ITERATIONS = 10


def sinkhorn_plan(c_v: torch.Tensor, temperature: float, iterations: int = ITERATIONS) -> torch.Tensor:
    """Maximise ``<c_v, P> + temperature * entropy(P)`` over doubly stochastic ``P`` by Sinkhorn's iteration.

    Rows and columns are normalised in turn in the log domain, so small temperatures do not overflow. After a finite
    number of iterations the columns sum to one exactly and the rows up to the remaining error.

    Args:
        c_v: affinities, shape (B, N, N).
        temperature: weight of the entropy, positive.
        iterations: rounds of row and column normalisation.

    Returns:
        P, shape (B, N, N).
    """
    log_plan = c_v / temperature
    for _ in range(iterations):
        log_plan = log_plan - log_plan.logsumexp(dim=2, keepdim=True)
        log_plan = log_plan - log_plan.logsumexp(dim=1, keepdim=True)
    return log_plan.exp()
