"""Linear assignment: this package and its peers in the same run, and what the GPU kernel takes on each target.

    python benchmarks/assignment.py                  times on the CPU, and on the GPU if there is one
    python benchmarks/assignment.py --resources      registers and shared memory, compiled ahead of time: no GPU needed

Writes ``benchmarks/results/lap.json`` or ``lap_kernel.json``, and from it the table in the README of ``matching/lap``.
Refuses to write numbers when any answer is not optimal. Not named ``lap.py``: beside a script of that name, the module
``lap`` of the package lapx could not be imported by any other benchmark.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from environment import environment  # noqa: E402  after the path of this checkout

from lvm_med_monai.matching.lap import assign, libraries  # noqa: E402  after the path of this checkout

PACKAGES = ("torch", "triton", "numpy", "scipy", "lapx", "torch-linear-assignment")
RESULTS = ROOT / "benchmarks" / "results"
README = ROOT / "lvm_med_monai" / "matching" / "lap" / "README.md"
Solver = Callable[[torch.Tensor], torch.Tensor]

CASES = [
    # family, nodes, problems: the last is one large graph gathered over ranks
    *((family, n, b) for family in ("uniform", "gumbel", "integers") for n, b in ((16, 64), (64, 16), (200, 4))),
    ("cosine", 200, 4),
    ("cosine", 1024, 1),
]


def costs(family: str, nodes: int, problems: int, seed: int) -> torch.Tensor:
    """Costs, shape (problems, nodes, nodes), float32."""
    rng = np.random.default_rng([seed, nodes, problems])
    shape = (problems, nodes, nodes)
    if family == "uniform":
        cost = rng.random(shape)
    elif family == "integers":  # 0 to 9: ties
        cost = rng.integers(0, 10, shape)
    else:  # cosines of two noisy views, and noise as in training
        base = rng.normal(size=(problems, nodes, 128))
        s, t = (base + 0.5 * rng.normal(size=base.shape) for _ in range(2))
        cost = -np.einsum("bnc,bmc->bnm", s, t)
        cost /= np.linalg.norm(s, axis=2)[:, :, None] * np.linalg.norm(t, axis=2)[:, None]
        if family == "gumbel":
            cost -= rng.gumbel(size=shape)
    return torch.from_numpy(np.ascontiguousarray(cost, dtype=np.float32))


def of_pairs(solve: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]) -> Solver:
    """A solver of batches out of one that takes a matrix and returns rows and columns."""

    def solve_batch(cost: torch.Tensor) -> torch.Tensor:
        v = np.full(cost.shape[:2], -1)
        for index, matrix in enumerate(cost.numpy()):
            rows, columns = solve(matrix)
            v[index, rows] = columns
        return torch.from_numpy(v)

    return solve_batch


def of_mapping(solve: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]) -> Solver:
    """The same out of one that returns the column of each row first."""
    return of_pairs(lambda matrix: (np.arange(len(matrix)), solve(matrix)[0]))


def cpu_solvers() -> dict[str, Solver]:
    """Ours, and the peers that are installed."""
    solvers: dict[str, Solver] = {"assign": assign, "assign, scipy": lambda cost: assign(cost, "scipy")}
    solvers["SciPy"] = of_pairs(linear_sum_assignment)
    if libraries.has_lapx():
        lap = import_module("lap")
        solvers["lapx lapjv"] = of_mapping(lambda matrix: lap.lapjv(matrix, return_cost=False))
        for name in ("lapjvx", "lapjvs", "lapjvr", "lapjvh"):
            solver = getattr(lap, name)
            options = {"jvx_like": True} if name == "lapjvs" else {}
            solvers[f"lapx {name}"] = of_pairs(lambda m, f=solver, o=options: f(m, return_cost=False, **o))
    if find_spec("torch_linear_assignment"):
        solvers["torch-linear-assignment"] = import_module("torch_linear_assignment").batch_linear_assignment
    return solvers


def gpu_solvers() -> dict[str, Solver]:
    """Solvers of costs on a GPU."""
    solvers: dict[str, Solver] = {
        "Triton": lambda cost: assign(cost, "triton", check=False),
        "Triton, checked": lambda cost: assign(cost, "triton"),
    }
    if find_spec("torch_linear_assignment"):
        solvers["torch-linear-assignment"] = import_module("torch_linear_assignment").batch_linear_assignment
    return solvers


def check(name: str, cost: torch.Tensor, v: torch.Tensor) -> None:
    """Raise unless every answer is a permutation as cheap as SciPy's in float64."""
    for matrix, columns in zip(cost.double().numpy(), v.cpu().numpy(), strict=True):
        rows = np.arange(len(matrix))
        best = matrix[linear_sum_assignment(matrix)].sum()
        excess = matrix[rows, columns].sum() - best
        if sorted(columns) != rows.tolist() or excess > 1e-12 * np.abs(matrix).sum():
            raise SystemExit(f"{name} is not optimal (excess {excess:g} of {best:g}): no numbers are written")


def measure(solvers: dict[str, Solver], device: str, repeats: int, seed: int) -> list[dict[str, object]]:
    """Check every solver on every case, then time them in turns; medians in milliseconds a problem."""
    rows = []
    for family, nodes, problems in CASES:
        on_cpu = costs(family, nodes, problems, seed)
        cost = on_cpu.to(device)
        for name, solve in solvers.items():
            check(name, on_cpu, solve(cost))
        # on the CPU the time of this process alone: other work on the machine must not count
        clock = time.process_time if device == "cpu" else time.perf_counter
        times: dict[str, list[float]] = {name: [] for name in solvers}
        for _ in range(repeats):
            for name, solve in solvers.items():
                begin = clock()
                solve(cost)
                if device != "cpu":
                    torch.cuda.synchronize()
                times[name].append(1e3 * (clock() - begin) / problems)
        medians = {name: round(statistics.median(values), 5) for name, values in times.items()}
        rows.append({"family": family, "nodes": nodes, "problems": problems, "ms": medians})
        print(family, nodes, problems, medians, flush=True)
    return rows


def timing_table(result: dict) -> list[str]:
    """The README's lines from ``lap.json``."""
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    lines = [
        f"Median milliseconds a problem (CPU: of processor time) over {result['repeats']} repeats in turns, float32,",
        f"seed {result['seed']}; every answer checked against SciPy in float64. {result['device']}; {result['gpu']}.",
        f"{result['note']} {versions}. `{result['command']}`",
    ]
    for device, rows in result["rows"].items():
        lines += [
            "",
            f"| on {device} | " + " | ".join(f"{r['family']} {r['nodes']} x {r['problems']}" for r in rows) + " |",
        ]
        lines.append("|---|" + "---|" * len(rows))
        lines += [f"| {name} | " + " | ".join(f"{r['ms'][name]:.3g}" for r in rows) + " |" for name in rows[0]["ms"]]
    return lines


def resources_table(result: dict) -> list[str]:
    """The README's lines from ``lap_kernel.json``."""
    targets = list(result["resources"])
    lines = ["| arithmetic | BLOCK | warps | " + " | ".join(targets) + " |", "|---|---|---|" + "---|" * len(targets)]
    for dtype, blocks in result["warps"].items():
        for block, warps in blocks.items():
            taken = (result["resources"][target][dtype][block] for target in targets)
            cells = (f"{registers} / {spilled} / {shared}" for registers, spilled, shared in taken)
            lines.append(f"| {dtype} | {block} | {warps} | " + " | ".join(cells) + " |")
    return [*lines, "", f"triton {result['versions']['triton']}, `{result['command']}`"]


def record(name: str, result: dict, table: Callable[[dict], list[str]]) -> None:
    """Write a result, and its table between the README's markers."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    begin, end = f"<!-- {name}.json -->\n", f"<!-- end of {name}.json -->\n"
    before, rest = README.read_text().split(begin)
    lines = "\n".join(table(json.loads(path.read_text()))) + "\n"
    README.write_text(before + begin + "\n" + lines + "\n" + end + rest.split(end)[1])


def kernel_resources() -> dict[str, object]:
    """Compile for every target and launch setting, with prices: the larger variant."""
    from lvm_med_monai.matching.lap.launch import WARPS
    from lvm_med_monai.matching.lap.resources import TARGETS, compile_for, resources_of

    taken = {
        target: {
            dtype: {block: resources_of(compile_for(target, block, dtype)) for block in blocks}
            for dtype, blocks in WARPS.items()
        }
        for target in TARGETS
    }
    return {"warps": WARPS, "resources": taken}


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resources", action="store_true", help="compile the kernel instead of timing solvers")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--note", default="", help="what a reader should know of the machine")
    arguments = parser.parse_args()
    described = environment("assignment.py", PACKAGES, arguments.note)
    if arguments.resources:
        record(
            "lap_kernel",
            described | kernel_resources(),
            resources_table,
        )
        return
    rows = {"CPU": measure(cpu_solvers(), "cpu", arguments.repeats, arguments.seed)}
    if torch.cuda.is_available():
        rows["GPU"] = measure(gpu_solvers(), "cuda", arguments.repeats, arguments.seed)
    sizes = {"repeats": arguments.repeats, "seed": arguments.seed, "rows": rows}
    record("lap", environment(Path(__file__).name, PACKAGES, arguments.note) | sizes, timing_table)


if __name__ == "__main__":
    main()
