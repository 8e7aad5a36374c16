"""What benchmarks/matching.py runs: the backends of this package, and solvers of other packages where installed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec

import numpy as np
import torch

from lvm_med_monai.matching import MatchingProblem, assign, solve
from lvm_med_monai.matching.qap.dense import DenseEdgeTerm

PYGMTOOLS_UP_TO = 32  # nodes: it needs N^4 numbers a graph
Solver = Callable[[MatchingProblem], torch.Tensor]


def own_solvers(nodes: int) -> dict[str, Solver]:
    """The backends that run here, and the first-order assignment as a baseline."""
    generator = torch.Generator().manual_seed(0)

    def backend(name: str, **options: float) -> Solver:
        return lambda problem: solve(problem, name, generator=generator, **options).v

    solvers: dict[str, Solver] = {"first order": lambda problem: assign(-problem.c_v), "torch": backend("torch")}
    if find_spec("numba"):
        solvers["numba"] = backend("numba")
        if nodes <= 64:
            solvers["numba, effort 4"] = backend("numba", effort=4.0)
    if torch.cuda.is_available() and nodes <= 32:
        on_gpu = backend("triton")
        solvers["triton"] = lambda problem: on_gpu(problem._map(lambda tensor: tensor.cuda())).cpu()
    return solvers


def peers(nodes: int) -> dict[str, Solver]:
    """Solvers of other packages."""
    solvers: dict[str, Solver] = {}
    if find_spec("pygmtools") and nodes <= PYGMTOOLS_UP_TO:
        pygmtools = import_module("pygmtools")
        pygmtools.set_backend("pytorch")
        for name in ("sm", "rrwm", "ipfp"):
            solvers[f"pygmtools {name.upper()}"] = partial(spectral, solver=getattr(pygmtools, name))
    if find_spec("lpmp_py"):
        gm_solver = import_module("lpmp_py.raw_solvers").gm_solver
        solvers["LPMP"] = partial(message_passing, solver=gm_solver)
    return solvers


def spectral(problem: MatchingProblem, solver: Callable[..., torch.Tensor]) -> torch.Tensor:
    """Solve with pygmtools: one affinity matrix a graph, rows in the order target * N + source, none negative."""
    batch, n, _ = problem.c_v.shape
    k = DenseEdgeTerm(problem).matrix.view(batch, n * n, n * n) / 2 + torch.diag_embed(problem.c_v.double().flatten(1))
    k = k.view(batch, n, n, n, n).permute(0, 2, 1, 4, 3).reshape(batch, n * n, n * n)
    plan = solver(k.clamp(min=0).float(), n1max=n, n2max=n)
    return assign(-plan.nan_to_num())


def message_passing(problem: MatchingProblem, solver: Callable[..., tuple[np.ndarray, np.ndarray]]) -> torch.Tensor:
    """Solve with LPMP at the settings of BB-GM, graph by graph."""
    options = {"maxIter": 100, "primalComputationInterval": 10, "timeout": 1000}  # milliseconds
    c_e = problem.edge_affinities()
    found = []
    for b in range(len(problem.c_v)):
        costs = (-problem.c_v[b].double()).numpy(), (-c_e[b].double()).numpy()
        edges = problem.edges_s[b].numpy(), problem.edges_t[b].numpy()  # type: ignore[index]  # second order: not None
        found.append(torch.from_numpy(np.asarray(solver(*costs, *edges, options)[0])))
    # a graph that it leaves incomplete is completed
    return assign(-torch.stack(found).double())
