"""Gradients of a loss through the matching, for the target v* = identity."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import nn

from lvm_med_monai.matching.perturbation import perturb
from lvm_med_monai.matching.problem import MatchingProblem
from lvm_med_monai.matching.qap import solve
from lvm_med_monai.matching.qap.quadratic import EdgeTerm
from lvm_med_monai.matching.sinkhorn import ITERATIONS, sinkhorn_plan

MIRROR_ROUNDS = 4
PART = 2**22  # numbers of a temporary


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


def saturation_bound(problem: MatchingProblem, quick: bool = False) -> torch.Tensor:
    """Lambda from which the second solve of ``imle`` certainly returns the identity.

    ``v' = argmax S(v) + 2 lambda * (number of i with v(i) = i)``. Giving up the identity at node i gains at most
    ``max_{a != i} c_v[i, a] - c_v[i, i]`` and, for each source edge e at i, ``max(0, max_f c_e[e, f]) - c_e[e, e']``
    where that is positive, with e' the target edge between the same nodes (0 if there is none). An edge is charged to
    each of its ends. Where ``2 lambda`` is at least the largest gain of a node, no node moves.

    Args:
        problem: problems as they are solved, that is with noise; N = M.
        quick: with edge factors, take ``|d_s[e]| max_f |d_t[f]|`` for ``max_f c_e[e, f]``: E + F lengths instead of
            E F products, and a bound that is never smaller.

    Returns:
        Bound of each graph, at least 0, shape (B,).
    """
    c_v = problem.c_v
    diagonal = c_v.diagonal(dim1=1, dim2=2)
    itself = torch.eye(c_v.shape[1], dtype=torch.bool, device=c_v.device)
    gain = c_v.masked_fill(itself, -torch.inf).amax(dim=2) - diagonal
    if problem.edges_s is not None:
        edge_gain = _edge_gains(problem, quick)
        for end in problem.edges_s.clamp(min=0).unbind(dim=2):
            gain = gain.scatter_add(1, end, edge_gain)
    return (gain.amax(dim=1) / 2).clamp(min=0)


def _edge_gains(problem: MatchingProblem, quick: bool) -> torch.Tensor:
    """What each source edge gains at most where the identity is given up, shape (B, E); 0 for padding."""
    if problem.edges_s is None or problem.edges_t is None:
        raise ValueError("a first-order problem has no edges")
    source, neighbour = problem.edges_s.clamp(min=0).unbind(dim=2)
    paired = problem.target_edge.gather(1, source * problem.c_v.shape[2] + neighbour)
    twin = paired.clamp(min=0).unsqueeze(2)
    absent = problem.edges_t[..., 0] < 0
    if problem.d_s is not None and problem.d_t is not None:
        d_s, d_t = problem.edge_weight * problem.d_s, problem.d_t
        paid = (d_s * d_t.gather(1, twin.expand(-1, -1, d_t.shape[2]))).sum(dim=2)
        if quick:
            longest = d_t.norm(dim=2).masked_fill(absent, 0.0).amax(dim=1, keepdim=True)
            best = d_s.norm(dim=2) * longest
        else:
            # a few rows of c_e at a time: all of it would be 1 GB for a graph of 3,200 nodes
            rows = max(1, PART // absent.numel())
            hidden = absent.unsqueeze(1)
            best = torch.cat(
                [(part @ d_t.mT).masked_fill(hidden, -torch.inf).amax(dim=2) for part in d_s.split(rows, dim=1)], dim=1
            )
    else:
        c_e = problem.edge_affinities()
        paid = c_e.gather(2, twin).squeeze(2)
        best = c_e.masked_fill(absent.unsqueeze(1), -torch.inf).amax(dim=2)
    gain = (best.clamp(min=0) - torch.where(paired >= 0, paid, 0.0)).clamp(min=0)
    return torch.where(problem.edges_s[..., 0] >= 0, gain, 0.0)


def imle(
    problem: MatchingProblem,
    lambda_: float | torch.Tensor = 80.0,
    samples: int = 1,
    vertex_noise: float = 0.2,
    edge_noise: float = 0.0,
    centred: bool = True,
    margin: float = 0.0,
    skip: bool = True,
    generator: torch.Generator | None = None,
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
        generator: CPU generator of noise and solver.

    Raises:
        ValueError: N differs from M.
    """
    batch, n = _square(problem)
    repeated = problem.detach().select(torch.arange(batch, device=problem.c_v.device).repeat(samples))
    noisy = perturb(repeated, vertex_noise, edge_noise, centred, margin, generator)
    v = solve(noisy, generator=generator).v
    saturated = _saturated(noisy, lambda_) if skip else torch.zeros_like(v[:, 0], dtype=torch.bool)
    shifted = torch.arange(n, device=v.device).repeat(len(v), 1)
    rest = (~saturated).nonzero().squeeze(1)
    if len(rest) > 0:
        unsure = noisy.select(rest)
        slope = 1 - 2 * torch.eye(n, dtype=unsure.c_v.dtype, device=v.device)
        shifted[rest] = solve(replace(unsure, c_v=unsure.c_v - lambda_ * slope), generator=generator).v
    matrix, target = (nn.functional.one_hot(x, n).to(noisy.c_v) for x in (v, shifted))

    def per_graph(x: torch.Tensor) -> torch.Tensor:
        return x.to(noisy.c_v).unflatten(0, (samples, batch)).mean(dim=0)

    return Estimate(
        g_v=per_graph(matrix - target),
        v=v.view(samples, batch, n),
        shifted=shifted.view(samples, batch, n),
        plan=None,
        hamming=per_graph(hamming_loss(matrix)),
        nonzero=per_graph((v != shifted).any(dim=1)),
        skipped=per_graph(saturated),
    )


def _saturated(problem: MatchingProblem, lambda_: float | torch.Tensor) -> torch.Tensor:
    """Graphs whose second solve certainly returns the identity: the quick bound first, the exact one if it fails."""
    saturated = saturation_bound(problem, quick=True) <= lambda_
    return saturated if saturated.all() else saturated | (saturation_bound(problem) <= lambda_)


class AdaptiveLambda(nn.Module):
    """Lambda of ``imle`` that is just large enough for a gradient (AIMLE).

    A small lambda moves few nodes between ``v~`` and ``v'``, so most gradients are zero; a large one moves all wrong
    nodes, the saturated form. After each step lambda grows by ``rate`` if, in the running mean, fewer than ``target``
    nodes a graph moved, and shrinks by it otherwise. Where even the saturated form moves fewer, lambda stays at
    ``largest``: the estimate is then that of a constant lambda.

    Args:
        largest: first and largest value.
        target: wanted number of moved nodes of a graph, mean over graphs and samples.
        rate: relative change a step.
        decay: share of the running mean that a step keeps.

    References:
        Minervini et al., "Adaptive perturbation-based gradient estimation for discrete latent variable models",
        arXiv 2209.04862.
    """

    value: torch.Tensor
    moved: torch.Tensor

    def __init__(self, largest: float = 80.0, target: float = 1.0, rate: float = 0.05, decay: float = 0.9) -> None:
        super().__init__()
        self.largest, self.target, self.rate, self.decay = largest, target, rate, decay
        self.register_buffer("value", torch.tensor(float(largest)))
        self.register_buffer("moved", torch.tensor(float(target)))

    @torch.no_grad()
    def update(self, estimate: Estimate) -> None:
        """Adapt to an estimate of ``imle``.

        Raises:
            ValueError: the estimate has no solutions, as that of ``sinkhorn``.
        """
        if estimate.v is None or estimate.shifted is None:
            raise ValueError("only the estimate of imle has a lambda to adapt")
        moved = (estimate.v != estimate.shifted).sum(dim=2).to(self.moved).mean()
        self.moved.lerp_(moved.to(self.moved.device), 1 - self.decay)
        factor = torch.where(self.moved < self.target, 1 + self.rate, 1 / (1 + self.rate))
        self.value.mul_(factor).clamp_(max=self.largest)


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
