"""Second-order matching: every backend of this package and its peers on the same problems in the same run.

    python benchmarks/matching.py                    all cases
    python benchmarks/matching.py --graphs 0.1       a tenth of the graphs
    python benchmarks/matching.py --cases real       the cases with that word in their name

Peers run if they are installed: pygmtools (RRWM, IPFP, SM) and LPMP (Python package lpmp_py, which must be built from
source). Writes ``results/matching.json``, the best known scores into ``results/best_known.json``, which a later run
starts from, and the table in the README of ``matching/qap``. Refuses to write numbers when a solution is not a
permutation or beats a proved bound.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from cases import CASES, Case  # noqa: E402  after the path of this checkout
from environment import environment  # noqa: E402  as above
from solvers import Solver, own_solvers, peers  # noqa: E402  as above

from lvm_med_monai.matching import MatchingProblem, dual_bound, solve  # noqa: E402  as above
from lvm_med_monai.matching.qap.branch_and_bound import branch_and_bound  # noqa: E402  as above

PACKAGES = ("torch", "numba", "scipy", "lapx", "triton", "pygmtools", "lpmp-py")
RESULTS = ROOT / "benchmarks" / "results"
README = ROOT / "lvm_med_monai" / "matching" / "qap" / "README.md"
MARKERS = "<!-- matching.json -->\n", "<!-- end of matching.json -->\n"
NODES_A_CALL = 80  # five graphs of 16 nodes
CERTIFIED_UP_TO = 16  # nodes
LONG = {True: 8.0, False: 2.0}  # effort, up to 64 nodes and above, of the search that stands for the optimum
SOLVED = 1e-5  # relative gap to the best known score
CLOSE = 0.005  # the same, for larger graphs
DUAL_ITERATIONS = {True: 100, False: 30}  # up to 64 nodes, and above


def run(name: str, solver: Solver, problem: MatchingProblem) -> tuple[torch.Tensor, list[float], float]:
    """Scores, milliseconds a graph of each call, and MB by which memory grew; refuses what is no permutation."""
    # on the CPU the time of this process alone: other work on the machine must not count
    clock = time.perf_counter if name == "triton" else time.process_time
    at_once = max(1, NODES_A_CALL // problem.c_v.shape[1])
    calls = [problem.select(index) for index in torch.arange(len(problem.c_v)).split(at_once)]
    solver(calls[0])
    grown = peak_growth(lambda: solver(calls[0]))
    v, times = [], []
    for call in calls:
        begin = clock()
        v.append(solver(call))
        times.append(1e3 * (clock() - begin) / len(call.c_v))
    solution = torch.cat(v)
    if not torch.equal(solution.sort(dim=1).values, torch.arange(solution.shape[1]).expand_as(solution)):
        raise SystemExit(f"{name} does not return permutations: no numbers are written")
    return problem.score(solution), times, grown


def peak_growth(work: Callable[[], object]) -> float:
    """MB by which the resident memory of this process grows while it works, at its highest; NaN where not told."""
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not reset.exists():
        return float("nan")

    def megabytes(field: str) -> float:
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(field)) / 1024

    ctypes.CDLL(None).malloc_trim(0)  # what was freed is given back, or it would be used again unseen
    reset.write_text("5")  # the peak starts anew
    before = megabytes("VmRSS")
    work()
    return max(0.0, megabytes("VmHWM") - before)


def measure(name: str, case: Case, graphs: int, arguments: argparse.Namespace, known: list[float]) -> dict:
    """Run all solvers on one case."""
    problem, truth = case.instances(graphs, arguments.seed)
    runs = {label: run(label, f, problem) for label, f in (own_solvers(case.nodes) | peers(case.nodes)).items()}
    long = solve(problem, "numba", effort=LONG[case.nodes <= 64], generator=torch.Generator().manual_seed(1))
    true_score = problem.score(truth)
    best = torch.stack([long.score, true_score, *(score for score, _, _ in runs.values())]).amax(dim=0)
    if known:
        best = torch.maximum(best, torch.tensor(known, dtype=best.dtype))
    certified = torch.zeros_like(best, dtype=torch.bool)
    if case.nodes <= CERTIFIED_UP_TO:
        certificate = branch_and_bound(problem, long.v, arguments.passes)
        certified, best = certificate.certified, torch.maximum(best, certificate.score)
        require(bool((best <= certificate.bound).all()), f"{name}: a score exceeds its proved bound")
    bounded = problem.select(torch.arange(min(case.bounded, graphs)))
    bound = dual_bound(bounded, DUAL_ITERATIONS[case.nodes <= 64])
    require(bool((best[: len(bound)] <= bound + 1e-9 * bound.abs()).all()), f"{name}: a score exceeds the dual bound")
    measured = {}
    for label, (score, times, grown) in runs.items():
        gap = (best - score) / best.abs()
        to_bound = (bound - score[: len(bound)]) / bound.abs()
        measured[label] = {
            "solved": round(float((gap <= SOLVED).double().mean()), 4),
            "within_half_a_percent": round(float((gap <= CLOSE).double().mean()), 4),
            "certified_solved": int((gap <= SOLVED)[certified].sum()),
            "gap_mean": round(100 * float(gap.mean()), 4),
            "gap_p95": round(100 * float(gap.quantile(0.95)), 4),
            "gap_to_bound_mean": round(100 * float(to_bound.mean()), 4),
            "below_truth": int((score < true_score - 1e-6 * best.abs()).sum()),
            "ms_median": round(float(np.median(times)), 3),
            "ms_p95": round(float(np.quantile(times, 0.95)), 3),
            "memory_mb": round(grown, 1),
        }
        print(f"{name}: {label} {measured[label]}", flush=True)
    return {
        "recipe": asdict(case.recipe),
        "nodes": case.nodes,
        "graphs": graphs,
        "certified": int(certified.sum()),
        "bounded": len(bound),
        "solvers": measured,
        "best_known": [float(score) for score in best],
    }


def require(condition: bool, message: str) -> None:
    """Stop before any number is written."""
    if not condition:
        raise SystemExit(f"{message}: no numbers are written")


def table(result: dict) -> list[str]:
    """The README's lines."""
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    small = [row for row in result["cases"].values() if row["nodes"] <= CERTIFIED_UP_TO]
    certified, found = sum(row["certified"] for row in small), sum(_numba(row)["certified_solved"] for row in small)
    below = sum(_numba(row)["below_truth"] for row in result["cases"].values())
    graphs = sum(row["graphs"] for row in small), sum(row["graphs"] for row in result["cases"].values())
    lines = [
        "Share solved to the best known score, %; mean gap / 95th percentile of the gap, both in %; median ms a graph",
        f"of processor time, {NODES_A_CALL} nodes a call, and the MB by which memory grew. Best known: all columns,",
        f"earlier runs, a search of {LONG[True]:g} times the effort ({LONG[False]:g} times above 64 nodes) and, up to",
        f"{CERTIFIED_UP_TO} nodes, branch and bound. Last column: mean gap of `numba` to the dual bound, %.",
        f"{result['device']}; {result['gpu']}. {result['note']}",
        f"{versions}. `{result['command']}`",
        "",
        f"Of {graphs[0]} graphs of 16 nodes, {certified} optima are certified; `numba` finds {found} of them. Its",
        f"score is below that of the true matching in {below} of all {graphs[1]} graphs.",
        "",
    ]
    names = list(dict.fromkeys(name for row in result["cases"].values() for name in row["solvers"]))
    lines += ["| case (graphs, certified) | " + " | ".join(names) + " | to bound |", "|---" * (len(names) + 2) + "|"]
    for case, row in result["cases"].items():
        cells = [_cell(row["solvers"].get(name)) for name in names]
        bound = f"{abs(_numba(row)['gap_to_bound_mean']):.2f}"  # -0.00 is rounding
        lines.append(f"| {case} ({row['graphs']}, {row['certified']}) | " + " | ".join([*cells, bound]) + " |")
    return lines


def _cell(r: dict | None) -> str:
    if r is None:
        return "-"
    gaps = f"{100 * r['solved']:.3g}; {r['gap_mean']:.2f} / {r['gap_p95']:.2f}"
    return f"{gaps}; {r['ms_median']:.3g} ms, {r['memory_mb']:.0f} MB"


def _numba(row: dict) -> dict:
    return row["solvers"]["numba"]


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graphs", type=float, default=1.0, help="share of the graphs of each case")
    parser.add_argument("--cases", default="", help="run the cases with this in their name alone, and write nothing")
    parser.add_argument("--passes", type=int, default=300, help="dual passes of branch and bound a graph")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--note", default="", help="what a reader should know of the machine")
    parser.add_argument("--table", action="store_true", help="only write the table of the last results again")
    arguments = parser.parse_args()
    if arguments.table:
        write_table(json.loads((RESULTS / "matching.json").read_text()))
        return
    torch.set_num_threads(1)
    best_known = RESULTS / "best_known.json"
    known = json.loads(best_known.read_text()) if best_known.is_file() else {}
    cases = {}
    for name, case in CASES.items():
        if arguments.cases not in name:
            continue
        graphs = max(1, round(arguments.graphs * case.graphs))
        # another number of graphs draws other problems
        key = f"{name}, {graphs} graphs, seed {arguments.seed}"
        cases[name] = measure(name, case, graphs, arguments, known.get(key, []))
        known[key] = cases[name].pop("best_known")
    if arguments.cases:
        return
    RESULTS.mkdir(exist_ok=True)
    best_known.write_text(json.dumps(known, indent=None, separators=(",", ":")).replace("],", "],\n") + "\n")
    result = environment(Path(__file__).name, PACKAGES, arguments.note) | {
        "seed": arguments.seed,
        "passes": arguments.passes,
        "cases": cases,
    }
    (RESULTS / "matching.json").write_text(json.dumps(result, indent=1) + "\n")
    write_table(result)


def write_table(result: dict) -> None:
    """Put the table into the README."""
    before, rest = README.read_text().split(MARKERS[0])
    lines = "\n".join(table(result)) + "\n"
    README.write_text(before + MARKERS[0] + "\n" + lines + "\n" + MARKERS[1] + rest.split(MARKERS[1])[1])


if __name__ == "__main__":
    main()
