"""Second-order matching: every backend of this package and its peers on the same problems in the same run.

    python benchmarks/matching.py                               synthetic problems
    python benchmarks/matching.py --embeddings views.npz        and real ones, see instances.py

Peers run if they are installed: pygmtools (RRWM, IPFP, SM) and LPMP (Python package lpmp_py, which must be built from
source). Writes ``benchmarks/results/matching.json`` and from it the table in the README of ``matching/qap``. Refuses to
write numbers when a solution is not a permutation or beats a proved bound.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from instances import LITERAL, Instances, Recipe, from_file, synthetic  # noqa: E402  after the path of this checkout

from lvm_med_monai.matching import MatchingProblem, assign, solve  # noqa: E402
from lvm_med_monai.matching.qap.branch_and_bound import branch_and_bound  # noqa: E402
from lvm_med_monai.matching.qap.dense import DenseEdgeTerm  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "matching.json"
README = ROOT / "lvm_med_monai" / "matching" / "qap" / "README.md"
MARKERS = "<!-- matching.json -->\n", "<!-- end of matching.json -->\n"
GRAPHS_A_CALL = 5
CERTIFIED_UP_TO = 16  # nodes
LONG = 8.0  # effort of the long search that stands for the optimum where nothing is certified
SOLVED = 1e-5  # relative gap to the best known score
Solver = Callable[[MatchingProblem], torch.Tensor]

CASES: dict[str, tuple[Recipe, int]] = {
    "training, i.i.d., N = 16": (Recipe(), 16),
    "training, clustered, edge noise 0.2, N = 16": (Recipe(clustered=True, edge_noise=0.2), 16),
    "training, far views, edge noise 0.2, N = 16": (Recipe(view_noise=1.5, edge_noise=0.2), 16),
    "plain messages, heavy edges, no noise, N = 16": (replace(LITERAL, vertex_noise=0.0, edge_noise=0.0), 16),
    "paper's scales, centred noise, N = 16": (replace(LITERAL, centred=True), 16),
    "paper to the letter, N = 16": (LITERAL, 16),
    "training, far views, edge noise 0.2, N = 32": (Recipe(view_noise=1.5, edge_noise=0.2), 32),
    "training, far views, edge noise 0.2, N = 64": (Recipe(view_noise=1.5, edge_noise=0.2), 64),
}
REAL = {"real, N = 16": (Recipe(), 16), "real, edge noise 0.2, N = 16": (Recipe(edge_noise=0.2), 16)}


def own_solvers(nodes: int) -> dict[str, Solver]:
    """The backends that run here, and the first-order assignment as a baseline."""
    generator = torch.Generator().manual_seed(0)

    def backend(name: str, **options: float) -> Solver:
        return lambda problem: solve(problem, name, generator=generator, **options).v

    solvers: dict[str, Solver] = {"first order": lambda problem: assign(-problem.c_v), "torch": backend("torch")}
    if find_spec("numba"):
        solvers |= {"numba": backend("numba"), "numba, effort 4": backend("numba", effort=4.0)}
    if torch.cuda.is_available() and nodes <= 32:
        on_gpu = backend("triton")
        solvers["triton"] = lambda problem: on_gpu(problem._map(lambda tensor: tensor.cuda())).cpu()
    return solvers


def peers(nodes: int) -> dict[str, Solver]:
    """Solvers of other packages, where installed; pygmtools needs N^4 numbers a graph."""
    solvers: dict[str, Solver] = {}
    if find_spec("pygmtools") and nodes <= 32:
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
        edges = problem.edges_s[b].numpy(), problem.edges_t[b].numpy()  # type: ignore[index]
        found.append(torch.from_numpy(np.asarray(solver(*costs, *edges, options)[0])))
    # a graph that it leaves incomplete is completed
    return assign(-torch.stack(found).double())


def parts(problem: MatchingProblem) -> list[MatchingProblem]:
    """The problems of one call each."""
    return [problem.select(index) for index in torch.arange(len(problem.c_v)).split(GRAPHS_A_CALL)]


def run(name: str, solver: Solver, problem: MatchingProblem) -> tuple[torch.Tensor, list[float]]:
    """Scores, and milliseconds a graph of each call; refuses what is no permutation."""
    # on the CPU the time of this process alone: other work on the machine must not count
    clock = time.perf_counter if name == "triton" else time.process_time
    solver(problem.select(torch.arange(1)))
    v, times = [], []
    for part in parts(problem):
        begin = clock()
        v.append(solver(part))
        times.append(1e3 * (clock() - begin) / len(part.c_v))
    solution = torch.cat(v)
    if not torch.equal(solution.sort(dim=1).values, torch.arange(solution.shape[1]).expand_as(solution)):
        raise SystemExit(f"{name} does not return permutations: no numbers are written")
    return problem.score(solution), times


def measure(case: str, instances: Instances, passes: int) -> dict[str, object]:
    """Run all solvers on one case."""
    problem, truth = instances
    nodes = problem.c_v.shape[1]
    runs = {name: run(name, f, problem) for name, f in (own_solvers(nodes) | peers(nodes)).items()}
    long = solve(problem, "numba", effort=LONG, generator=torch.Generator().manual_seed(1))
    best = torch.stack([long.score, problem.score(truth), *(score for score, _ in runs.values())]).amax(dim=0)
    certified = torch.zeros_like(best, dtype=torch.bool)
    if nodes <= CERTIFIED_UP_TO:
        certificate = branch_and_bound(problem, long.v, passes)
        certified = certificate.certified
        best = torch.maximum(best, certificate.score)
        if (best > certificate.bound).any():
            raise SystemExit(f"{case}: a score exceeds its proved bound: no numbers are written")
    measured: dict[str, dict[str, object]] = {}
    for name, (score, times) in runs.items():
        gap = (best - score) / best.abs()
        measured[name] = {
            "solved": round(float((gap <= SOLVED).double().mean()), 4),
            "certified_solved": f"{int((gap <= SOLVED)[certified].sum())}/{int(certified.sum())}",
            "gap_mean": round(100 * float(gap.mean()), 4),
            "gap_p95": round(100 * float(gap.quantile(0.95)), 4),
            "below_truth": int((score < problem.score(truth) - 1e-6 * best.abs()).sum()),
            "ms_median": round(float(np.median(times)), 3),
            "ms_p95": round(float(np.quantile(times, 0.95)), 3),
        }
        print(case, name, measured[name], flush=True)
    return {"graphs": len(best), "certified": round(float(certified.double().mean()), 3), "solvers": measured}


def table(result: dict) -> list[str]:
    """The README's lines."""
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    lines = [
        "Share solved to the best known score / mean gap / 95th percentile of the gap, both in %; median ms a graph of",
        f"processor time, {GRAPHS_A_CALL} graphs a call. Best known: all columns, {LONG:g} times the effort",
        f"and, up to {CERTIFIED_UP_TO} nodes, branch and bound. {result['device']}; {result['gpu']}. {result['note']}",
        f"{versions}. `{result['command']}`",
        "",
    ]
    names = list(dict.fromkeys(name for row in result["cases"].values() for name in row["solvers"]))
    lines += ["| case (graphs, certified) | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for case, row in result["cases"].items():
        cells = [
            f"{100 * r['solved']:.0f} / {r['gap_mean']:.2f} / {r['gap_p95']:.2f}; {r['ms_median']:.3g} ms" if r else "-"
            for r in (row["solvers"].get(name) for name in names)
        ]
        lines.append(f"| {case} ({row['graphs']}, {100 * row['certified']:.0f} %) | " + " | ".join(cells) + " |")
    return lines


def environment(note: str) -> dict[str, object]:
    """Where and how the numbers came about."""
    versions = {"python": platform.python_version()}
    for name in ("torch", "numba", "scipy", "lapx", "triton", "pygmtools", "lpmp-py"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "command": shlex.join(["python", "benchmarks/matching.py", *sys.argv[1:]]),
        "device": f"{platform.machine()} CPU, {os.cpu_count()} cores, {torch.get_num_threads()} thread",
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "not run on a GPU",
        "note": note,
        "versions": versions,
    }


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graphs", type=int, default=200, help="graphs of 16 nodes a case; larger graphs: fewer")
    parser.add_argument("--passes", type=int, default=500, help="dual passes of branch and bound a graph")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--embeddings", type=Path, help="embeddings of two views, see instances.py")
    parser.add_argument("--note", default="", help="what a reader should know of the machine")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cases = {}
    for case, (recipe, nodes) in (CASES | (REAL if arguments.embeddings else {})).items():
        graphs = max(1, arguments.graphs * 16**2 // nodes**2)
        if case in REAL:
            instances = from_file(arguments.embeddings, recipe, graphs, nodes, arguments.seed)
        else:
            instances = synthetic(recipe, graphs, nodes, arguments.seed)
        cases[case] = {"recipe": asdict(recipe), **measure(case, instances, arguments.passes)}
    RESULT.parent.mkdir(exist_ok=True)
    result = environment(arguments.note) | {"seed": arguments.seed, "passes": arguments.passes, "cases": cases}
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    before, rest = README.read_text().split(MARKERS[0])
    lines = "\n".join(table(json.loads(RESULT.read_text()))) + "\n"
    README.write_text(before + MARKERS[0] + "\n" + lines + "\n" + MARKERS[1] + rest.split(MARKERS[1])[1])


if __name__ == "__main__":
    main()
