"""Gradients of a loss through the matching, for the target v* = identity."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from lvm_med_monai.matching.problem import MatchingProblem
from lvm_med_monai.matching.qap.quadratic import EdgeTerm
from lvm_med_monai.matching.seeds import Randomness, key_of
from lvm_med_monai.matching.sinkhorn import ITERATIONS, sinkhorn_plan
from lvm_med_monai.matching.twice import TwoSolves, matching_twice, solve_twice

MIRROR_ROUNDS = 4


@dataclass(frozen=True, eq=False)
class Estimate:
    """A gradient on the affinities, times lambda, and what it tells about the matching.

    The gradient on ``c_v`` is ``g_v``. The gradient on the affinity of edges (i, j), (a, b) is the mean over samples of
    ``v_ia v_jb - w_ia w_jb`` with the permutations ``v`` and ``w = shifted``, or ``P_ia P_jb - I_ia I_jb`` with a plan.

    Attributes:
        g_v: gradient on ``c_v``, shape (B, N, N).
        v: solutions under noise (the paper's v-tilde), shape (S, B, N), or None.
        shifted: solutions of the second solve, shape (S, B, N), or None.
        plan: doubly stochastic P instead of permutations, shape (B, N, N), or None.
        hamming: Hamming loss of Eq. 5 against the identity, mean over samples, shape (B,).
        nonzero: share of the samples whose gradient is not zero, shape (B,).
        skipped: share of the samples whose second solve was not needed, shape (B,).
    """

    g_v: torch.Tensor
    v: torch.Tensor | None
    shifted: torch.Tensor | None
    plan: torch.Tensor | None
    hamming: torch.Tensor
    nonzero: torch.Tensor
    skipped: torch.Tensor


def hamming_loss(v: torch.Tensor) -> torch.Tensor:
    """Hamming loss ``<v, 1 - v*> + <v*, 1 - v>`` against v* = identity (paper Eq. 5), shape (B,).

    Args:
        v: permutation matrices or doubly stochastic plans, shape (B, N, N).
    """
    return v.sum(dim=(1, 2)) + v.shape[1] - 2 * v.diagonal(dim1=1, dim2=2).sum(dim=1)


def imle(
    problem: MatchingProblem,
    lambda_: float | torch.Tensor = 80.0,
    samples: int = 1,
    vertex_noise: float = 0.2,
    edge_noise: float = 0.0,
    centred: bool = True,
    margin: float = 0.0,
    skip: bool = True,
    generator: Randomness = None,
) -> Estimate:
    """Implicit maximum-likelihood estimate with the target v* = identity (paper Alg. 1, Eq. 6), times lambda.

    ``v~ = solve(c + eps)``, ``v' = solve(c_v + eps - lambda (1 - 2 v*), c_e + eps)`` with the same noise. The
    gradient ``(v~ - v') / lambda`` is returned times lambda, so that lambda is no hidden learning rate. Lambda is
    relative to the sum over a graph: no averaging, loss scaling or accumulation changes it.

    Args:
        problem: problems with N = M.
        lambda_: step of the target, the paper's 80; a scalar tensor of ``AdaptiveLambda`` does as well.
        samples: noise samples S a graph.
        vertex_noise: see ``perturb``, as for the following three.
        edge_noise: scale of the noise on edge cosines.
        centred: whether the noise has mean 0.
        margin: constant taken from the true pairs.
        skip: take v' = identity without solving where ``saturation_bound`` proves it.
        generator: CPU generator of noise and solver, or a key: an int64 tensor on the CPU whose numbers decide them,
            for compiled graphs. None uses torch's global generator.

    Raises:
        ValueError: N differs from M.
    """
    batch, n = _square(problem)
    repeated = problem.detach().select(torch.arange(batch, device=problem.c_v.device).repeat(samples))
    settings = (float(vertex_noise), float(edge_noise), centred, float(margin), skip)
    if isinstance(generator, torch.Tensor) or torch.compiler.is_compiling():
        check = torch.compiler.is_compiling()
        key, step = key_of(generator), torch.as_tensor(lambda_)
        v, shifted, skipped = matching_twice(*repeated.parts(), check, key, step, *settings)
    else:
        v, shifted, skipped = solve_twice(repeated, lambda_, TwoSolves(*settings), generator)
    matrix, target = (nn.functional.one_hot(x, n).to(problem.c_v) for x in (v, shifted))

    def per_graph(x: torch.Tensor) -> torch.Tensor:
        return x.to(problem.c_v).unflatten(0, (samples, batch)).mean(dim=0)

    return Estimate(
        g_v=per_graph(matrix - target),
        v=v.view(samples, batch, n),
        shifted=shifted.view(samples, batch, n),
        plan=None,
        hamming=per_graph(hamming_loss(matrix)),
        nonzero=per_graph((v != shifted).any(dim=1)),
        skipped=per_graph(skipped),
    )


def sinkhorn(
    problem: MatchingProblem,
    temperature: float = 0.1,
    rounds: int = MIRROR_ROUNDS,
    iterations: int = ITERATIONS,
) -> Estimate:
    """Entropic estimate: the Fenchel-Young gradient ``P - I`` of a soft matching P, without noise or solver.

    First order: ``P = argmax <c_v, P> + temperature * entropy(P)``. With edges, ``rounds`` mirror-descent steps repeat
    this with the linearised score ``c_v + H P``.

    Args:
        problem: problems with N = M.
        temperature: weight of the entropy.
        rounds: mirror-descent steps of second-order problems.
        iterations: Sinkhorn iterations of a step; temperatures near 0 need more.

    Raises:
        ValueError: N differs from M.

    References:
        Blondel et al., "Learning with Fenchel-Young losses", arXiv 1901.02324.
    """
    batch, n = _square(problem)
    problem = problem.detach()
    plan = sinkhorn_plan(problem.c_v, temperature, iterations)
    if problem.second_order:
        term = EdgeTerm(problem)
        for _ in range(rounds):
            linear = problem.c_v + term.gradient(plan.double()).to(plan)
            plan = sinkhorn_plan(linear, temperature, iterations)
    always = torch.ones(batch, dtype=plan.dtype, device=plan.device)
    return Estimate(
        g_v=plan - torch.eye(n, dtype=plan.dtype, device=plan.device),
        v=None,
        shifted=None,
        plan=plan,
        hamming=hamming_loss(plan),
        nonzero=always,
        skipped=always,
    )


def _square(problem: MatchingProblem) -> tuple[int, int]:
    batch, n, m = problem.c_v.shape
    if n != m:
        raise ValueError(f"the identity is a target only for square problems, got c_v of shape {(batch, n, m)}")
    return batch, n
