"""Both solves of the implicit maximum-likelihood estimate, and the two as one operator of torch."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch

from lvm_med_monai.matching.perturbation import perturb
from lvm_med_monai.matching.problem import MatchingProblem
from lvm_med_monai.matching.qap import solve
from lvm_med_monai.matching.qap.operator import PROBLEM
from lvm_med_monai.matching.saturation import saturated
from lvm_med_monai.matching.seeds import generator_of


class TwoSolves(NamedTuple):
    """Settings of the two solves; see ``imle`` for the fields."""

    vertex_noise: float
    edge_noise: float
    centred: bool
    margin: float
    skip: bool


def solve_twice(
    problem: MatchingProblem, lambda_: float | torch.Tensor, settings: TwoSolves, generator: torch.Generator | None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Solve noisy problems, and again with ``lambda_ (1 - 2 v*)`` taken from their vertices; see ``imle``.

    Args:
        problem: problems outside autograd, N = M.
        lambda_: step of the target.
        settings: noise, and whether second solves may be skipped.
        generator: CPU generator of noise and solver.

    Returns:
        Solutions of the first solve and of the second, shape (B, N), and whether the second was skipped, (B,).
    """
    noise = (settings.vertex_noise, settings.edge_noise, settings.centred, settings.margin)
    noisy = perturb(problem, *noise, generator)
    v = solve(noisy, generator=generator).v
    certain = saturated(noisy, lambda_) if settings.skip else torch.zeros_like(v[:, 0], dtype=torch.bool)
    n = v.shape[1]
    shifted = torch.arange(n, device=v.device).repeat(len(v), 1)
    rest = (~certain).nonzero().squeeze(1)
    if len(rest) > 0:
        unsure = noisy.select(rest)
        slope = 1 - 2 * torch.eye(n, dtype=unsure.c_v.dtype, device=v.device)
        shifted[rest] = solve(replace(unsure, c_v=unsure.c_v - lambda_ * slope), generator=generator).v
    return v, shifted, certain


@torch.library.custom_op(
    "lvm_med_monai::match_twice",
    mutates_args=(),
    schema=f"({PROBLEM}, Tensor key, Tensor lambda_, float vertex_noise, float edge_noise, bool centred, "
    "float margin, bool skip) -> (Tensor, Tensor, Tensor)",
)
def matching_twice(
    c_v: torch.Tensor,
    edges_s: torch.Tensor | None,
    edges_t: torch.Tensor | None,
    c_e: torch.Tensor | None,
    d_s: torch.Tensor | None,
    d_t: torch.Tensor | None,
    edge_weight: float,
    check: bool,
    key: torch.Tensor,
    lambda_: torch.Tensor,
    vertex_noise: float,
    edge_noise: float,
    centred: bool,
    margin: float,
    skip: bool,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """``solve_twice`` with a problem in parts and a key instead of a generator."""
    problem = MatchingProblem.of_parts((c_v, edges_s, edges_t, c_e, d_s, d_t, edge_weight), check)
    settings = TwoSolves(vertex_noise, edge_noise, centred, margin, skip)
    return solve_twice(problem, lambda_, settings, generator_of(key))


@matching_twice.register_fake
def _(c_v: torch.Tensor, *rest: object) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    batch, n, _ = c_v.shape
    v, shifted = (c_v.new_empty((batch, n), dtype=torch.int64) for _ in range(2))
    return v, shifted, c_v.new_empty((batch,), dtype=torch.bool)
