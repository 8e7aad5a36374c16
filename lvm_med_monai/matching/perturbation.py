"""Noise on affinities."""

from __future__ import annotations

from dataclasses import replace

import torch

from lvm_med_monai.matching.problem import MatchingProblem

EULER_GAMMA = 0.5772156649015329  # mean of the standard Gumbel distribution


def gumbel(shape: torch.Size, scale: float, centred: bool, generator: torch.Generator | None) -> torch.Tensor:
    """Draw Gumbel(0, scale) noise in float64 on the CPU; ``centred`` subtracts its mean."""
    uniform = torch.rand(shape, dtype=torch.float64, generator=generator)
    # 0 and 1 would give infinite noise
    uniform = uniform.clamp(torch.finfo(torch.float64).tiny, 1 - torch.finfo(torch.float64).eps)
    return scale * (-torch.log(-torch.log(uniform)) - (EULER_GAMMA if centred else 0.0))


def perturb(
    problem: MatchingProblem,
    vertex_noise: float = 0.0,
    edge_noise: float = 0.0,
    centred: bool = True,
    margin: float = 0.0,
    generator: torch.Generator | None = None,
) -> MatchingProblem:
    """Add independent Gumbel noise to the affinities (paper Alg. 1) and outside autograd.

    Args:
        problem: problems to perturb.
        vertex_noise: scale of the noise on ``c_v``; the paper's is 1.
        edge_noise: scale of the noise on the edge cosines, before their weight. Positive noise forms ``c_e``.
        centred: whether the noise has mean 0; Gumbel noise has mean 0.577 of its scale.
        margin: constant taken from the affinity of the true pairs (i, i): BB-GM's alternative to noise. N = M.
        generator: CPU generator of the noise; None uses torch's global one.

    References:
        LVM-Med, arXiv 2306.11925, Alg. 1; BB-GM, arXiv 2003.11657, section 3.4 for the margin.
    """
    problem = problem.detach()
    c_v = problem.c_v
    if vertex_noise > 0:
        c_v = c_v + gumbel(c_v.shape, vertex_noise, centred, generator).to(c_v)
    if margin:
        c_v = c_v - margin * torch.eye(c_v.shape[1], dtype=c_v.dtype, device=c_v.device)
    if edge_noise == 0 or not problem.second_order:
        return replace(problem, c_v=c_v)
    c_e = problem.edge_affinities()
    c_e = c_e + gumbel(c_e.shape, edge_noise * problem.edge_weight, centred, generator).to(c_e)
    return replace(problem, c_v=c_v, c_e=c_e, d_s=None, d_t=None, edge_weight=1.0)
