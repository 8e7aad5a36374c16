"""Graphs -> assignment -> gradient. README.md derives it from the paper's equations."""

from __future__ import annotations

from lvm_med_monai.matching.adaptive import AdaptiveLambda
from lvm_med_monai.matching.affinity import combine, edge_affinity, vertex_affinity
from lvm_med_monai.matching.bound import dual_bound
from lvm_med_monai.matching.estimator import Estimate, hamming_loss, imle, sinkhorn
from lvm_med_monai.matching.lap import assign
from lvm_med_monai.matching.local import local_affinity
from lvm_med_monai.matching.perturbation import perturb
from lvm_med_monai.matching.problem import MatchingProblem
from lvm_med_monai.matching.qap import Solution, solve
from lvm_med_monai.matching.saturation import saturation_bound
from lvm_med_monai.matching.seeds import Randomness
from lvm_med_monai.matching.sinkhorn import sinkhorn_plan

__all__ = [
    "AdaptiveLambda",
    "Estimate",
    "MatchingProblem",
    "Randomness",
    "Solution",
    "assign",
    "combine",
    "dual_bound",
    "edge_affinity",
    "hamming_loss",
    "imle",
    "local_affinity",
    "perturb",
    "saturation_bound",
    "sinkhorn",
    "sinkhorn_plan",
    "solve",
    "vertex_affinity",
]
