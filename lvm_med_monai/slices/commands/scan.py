"""``scan``: what would be read, and the plan of an extraction."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from lvm_med_monai.slices.commands.source_options import add_source_options, sources_of
from lvm_med_monai.slices.commands.work_options import add_work_options, plan_workers, work_limits, worker_count

DESCRIPTION = """\
Show the stacks of some sources with geometry and flags, and the files that give none with the reason, reading headers
only, in worker processes as `extract` does. With -o, write the plan of an extraction first: a Parquet table with one
row a file, its series or volume, and the part in which it will be extracted.

The plan holds paths and series UIDs: keep it with the data. It is made once, and then shared by all processes of
`extract`, which would otherwise read all headers each."""
EPILOG = """\
examples:
  python -m lvm_med_monai.slices scan demo_data/brain_mr_dicom
  python -m lvm_med_monai.slices scan --sources sources.json -o plan.parquet --quiet
  python -m lvm_med_monai.slices scan ct_scans mr_scans -o plan.parquet --dataset study --split train"""


def add_parser(commands: Any) -> None:
    """Add the parser of ``scan``."""
    raw = argparse.RawDescriptionHelpFormatter
    scan = commands.add_parser(
        "scan",
        help="show stacks and rejects, reading headers only; write a plan",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=raw,
    )
    add = scan.add_argument
    add("paths", nargs="*", type=Path, metavar="SRC", help="file, folder or archive")
    add("-o", "--out", type=Path, metavar="PLAN", help="write the plan to this .parquet file")
    add("--quiet", action="store_true", help="print the numbers of files, units and parts alone; reads no volumes")
    add("--json", action="store_true", help="print one JSON object a line")
    add_source_options(scan)
    add_work_options(scan)
    scan.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the plan if asked to; print a line a stack or reject.

    Raises:
        ValueError: no sources, or a plan without its suffix.
    """
    from lvm_med_monai.slices.report.scan import scan, table
    from lvm_med_monai.slices.work.plan import SUFFIX, is_plan, make_plan, write_plan
    from lvm_med_monai.slices.work.progress import Bar

    if options.out is not None and not is_plan(options.out):
        raise ValueError(f"a plan is a Parquet file; name it {options.out}{SUFFIX}, by which `extract` knows it")
    limits = work_limits(options)
    with Bar(shown=True, what="scan") as bar:
        plan = make_plan(sources_of(options, options.paths), bar.on_planned, plan_workers(options))
        if options.out is not None:
            write_plan(plan, options.out)
        rows = [] if options.quiet else list(scan(plan, bar, worker_count(options), limits))
    counts = {"files": plan.table.num_rows, "bytes": plan.size, **plan.counts()}
    if options.json:
        print("\n".join(json.dumps(row) for row in [{"kind": "plan", **counts}, *rows]))
    else:
        print("\n\n".join(filter(None, (table(rows), ", ".join(f"{n:,} {name}" for name, n in counts.items())))))
    return 0
