"""Thousands of broken files through the isolated extraction.

    python -m tests.slices.fuzz --mutants 20000 --seed 0 --report benchmarks/results/fuzz.json
    python -m tests.slices.fuzz --show 1234 --seed 0 -o mutants     writes one mutant, to look at it

Every mutant must end in the manifest or in the rejects, no unit may take longer than the limit, no process may need
more memory than the limit, and the run itself must end well. Half of the mutants share a source, so that those of one
DICOM series are read together; the others are sources of their own. Exit status 1 if any of this fails.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from importlib import metadata
from pathlib import Path
from typing import Any

from lvm_med_monai.slices import SlicePolicy, Source, WorkLimits, extract, verify
from lvm_med_monai.slices.identity import Identities
from lvm_med_monai.slices.store.manifest import FILES, REJECTS, read_table
from lvm_med_monai.slices.work import extraction
from tests.slices.fuzz_mutate import mutant
from tests.slices.fuzz_seeds import seeds
from tests.slices.fuzz_work import LOG, timed_part

SECONDS = 10.0
MEMORY = 2 << 30
BATCH = 500
POLICY = SlicePolicy(every_mm=0, min_foreground=0, min_std=0, min_size=1)
ARCHIVES = (".zip", ".tar", ".tar.gz")


def write_mutants(folder: Path, numbers: range, seed: int) -> dict[int, Path]:
    """Number -> file, below ``shared`` for those that are one source, below ``single`` for the others."""
    whole, paths = seeds(), {}
    for name in ("shared", "single"):
        (folder / name).mkdir(parents=True)
    for number in numbers:
        name, data = mutant(number, seed, whole)
        stem, _, suffix = name.partition(".")
        archive = name.endswith(ARCHIVES)
        path = folder / ("single" if number % 2 or archive else "shared") / f"m{number:06d}_{stem}.{suffix}"
        path.write_bytes(data)
        paths[number] = path
    return paths


def run_batch(folder: Path, numbers: range, seed: int, workers: int = 2) -> dict[str, Any]:
    """Extract some mutants, and say what became of them.

    Args:
        folder: an empty folder.
        numbers: of the mutants.
        seed: of the run.
        workers: processes.
    """
    paths = write_mutants(folder / "in", numbers, seed)
    singles = [path for path in paths.values() if path.parent.name == "single"]
    sources = [Source(folder / "in" / "shared", "shared")] if len(singles) < len(paths) else []
    sources += [Source(path, path.name) for path in singles]
    extraction.run_jobs = functools.partial(extraction.run_jobs, work=timed_part)
    begin = time.monotonic()
    limits = WorkLimits(memory=MEMORY, seconds=SECONDS)
    options: dict[str, Any] = {"workers": workers, "limits": limits, "progress": False, "keep_burned_in": True}
    summary = extract(sources, folder / "out", POLICY, folder / "key", **options)
    units = [json.loads(line) for line in (folder / LOG).read_text().splitlines()]
    slowest = max(units, key=lambda unit: unit[1])
    return {
        "mutants": len(paths),
        "unaccounted": sorted(_unaccounted(folder, paths)),
        "faults": list(verify(folder / "out").faults),
        "files": summary.files_in,
        "slices": summary.slices,
        "outcomes": dict(Counter(manifest=summary.files_in_manifest) + Counter(summary.rejected)),
        "units": len(units),
        "longest_unit_s": slowest[1],
        "longest_unit": slowest[0],
        "worker_peak_bytes": max(unit[2] for unit in units),
        "run_peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "wall_s": time.monotonic() - begin,
        "failed": sorted(_failed(folder, paths)),
    }


def _unaccounted(folder: Path, paths: dict[int, Path]) -> list[int]:
    """Mutants without a row in the table of files; the members of an archive stand for it."""
    identities = Identities((folder / "key").read_bytes())
    table = read_table(folder / "out", FILES)
    hashes, names = set(table["source_h"].to_pylist()), set(table["dataset"].to_pylist())
    shared = Source(folder / "in" / "shared", "shared")
    missing = []
    for number, path in paths.items():
        if path.parent.name == "single":
            found = path.name in names
        else:
            found = identities.hash("file", shared.dataset, shared.name, path.name) in hashes
        missing += [] if found else [number]
    return missing


def _failed(folder: Path, paths: dict[int, Path]) -> list[str]:
    """Mutants that crashed, hung or exhausted memory, as ``reason number``."""
    identities = Identities((folder / "key").read_bytes())
    shared = Source(folder / "in" / "shared", "shared")
    by_hash = {identities.hash("file", "shared", shared.name, path.name): number for number, path in paths.items()}
    by_name = {path.name: number for number, path in paths.items()}
    rows = read_table(folder / "out", REJECTS).to_pylist()
    bad = [row for row in rows if row["reason"] in ("crashed", "timeout", "memory")]
    return [f"{row['reason']} {by_name.get(row['dataset'], by_hash.get(row['source_h']))}" for row in bad]


def run(mutants: int, seed: int, batch: int = BATCH) -> dict[str, Any]:
    """All batches, each in a process of its own, whose death is a failure."""
    total: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    report: dict[str, Any] = {"crashed_runs": [], "unaccounted": [], "faults": [], "failed": []}
    peaks = dict.fromkeys(("longest_unit_s", "worker_peak_bytes", "run_peak_bytes"), 0.0)
    for first in range(0, mutants, batch):
        last = min(first + batch, mutants)
        done = _batch_process(first, last, seed)
        if "mutants" not in done:
            report["crashed_runs"].append(done)
            continue
        outcomes.update(done["outcomes"])
        total.update({name: done[name] for name in ("mutants", "files", "slices", "units", "wall_s")})
        for name in peaks:
            peaks[name] = max(peaks[name], done[name])
        for name in ("unaccounted", "faults", "failed"):
            report[name] += done[name]
        print(f"{last} of {mutants}: {dict(outcomes)}, longest unit {peaks['longest_unit_s']:.2f} s", flush=True)
    report |= {**total, **peaks, "outcomes": dict(outcomes.most_common()), "seeds": len(seeds())}
    report["ok"] = is_fine(report)
    return report


def is_fine(report: dict[str, Any]) -> bool:
    """Whether a report breaks none of the promises."""
    broken = report["crashed_runs"] or report["unaccounted"] or report["faults"] or report["outcomes"].get("timeout")
    return not broken and report["longest_unit_s"] <= SECONDS and report["worker_peak_bytes"] <= MEMORY


def _batch_process(first: int, last: int, seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.slices.fuzz", "--batch", str(first), str(last), "--seed", str(seed)]
        root = Path(__file__).resolve().parents[2]
        done = subprocess.run([*command, "-o", folder], cwd=root, capture_output=True, text=True)
    try:
        return json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        return {"first": first, "last": last, "status": done.returncode, "error": done.stderr[-2000:]}


def environment(mutants: int, seed: int) -> dict[str, Any]:
    """Where the numbers came about."""
    names = ("numpy", "pydicom", "nibabel", "itk", "pillow", "h5py", "isal", "pylibjpeg-openjpeg", "python-gdcm")
    return {
        "command": f"python -m tests.slices.fuzz --mutants {mutants} --seed {seed}",
        "device": f"{platform.machine()} CPU, {os.cpu_count()} cores",
        "limits": {"seconds": SECONDS, "memory_bytes": MEMORY},
        "versions": {name: metadata.version(name) for name in names} | {"python": platform.python_version()},
    }


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutants", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--report", type=Path, help="write the result to this JSON file")
    parser.add_argument("--show", type=int, metavar="NUMBER", help="write one mutant into the folder of -o")
    parser.add_argument("-o", "--out", type=Path, help="folder of --show and --batch")
    parser.add_argument("--batch", type=int, nargs=2, metavar=("FIRST", "LAST"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.show is not None:
        print(write_mutants(options.out, range(options.show, options.show + 1), options.seed)[options.show])
        return 0
    if options.batch is not None:
        print(json.dumps(run_batch(options.out, range(*options.batch), options.seed)))
        return 0
    report = environment(options.mutants, options.seed) | run(options.mutants, options.seed)
    if options.report is not None:
        options.report.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1))
    return 0 if report["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
