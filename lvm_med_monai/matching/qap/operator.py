"""Second-order matching as an operator of torch, which compilers take as a whole."""

from __future__ import annotations

import torch

from lvm_med_monai.matching.problem import MatchingProblem
from lvm_med_monai.matching.qap.backends import Effort, search
from lvm_med_monai.matching.seeds import generator_of

PROBLEM = (
    "Tensor c_v, Tensor? edges_s, Tensor? edges_t, Tensor? c_e, Tensor? d_s, Tensor? d_t, float edge_weight, bool check"
)
"""How operators take a problem: its parts, and whether to check them, which tracing does not."""


@torch.library.custom_op(
    "lvm_med_monai::match",
    mutates_args=(),
    schema=f"({PROBLEM}, Tensor key, str backend, int? starts, float effort, int iterations, int patience)"
    " -> (Tensor, Tensor)",
)
def matching(
    c_v: torch.Tensor,
    edges_s: torch.Tensor | None,
    edges_t: torch.Tensor | None,
    c_e: torch.Tensor | None,
    d_s: torch.Tensor | None,
    d_t: torch.Tensor | None,
    edge_weight: float,
    check: bool,
    key: torch.Tensor,
    backend: str,
    starts: int | None,
    effort: float,
    iterations: int,
    patience: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Targets of source nodes, shape (B, N), int64, and steps, shape (B,); arguments as of ``solve``."""
    problem = MatchingProblem.of_parts((c_v, edges_s, edges_t, c_e, d_s, d_t, edge_weight), check)
    return search(problem, backend, Effort(starts, effort, iterations, patience), generator_of(key))


@matching.register_fake
def _(c_v: torch.Tensor, *rest: object) -> tuple[torch.Tensor, torch.Tensor]:
    batch, n, _ = c_v.shape
    return c_v.new_empty((batch, n), dtype=torch.int64), c_v.new_empty((batch,), dtype=torch.int64)
