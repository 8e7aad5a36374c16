"""``merge``: the tables of an output that several processes wrote."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lvm_med_monai.slices.commands.output import print_fields

DESCRIPTION = """\
Put the tables of all parts together, after processes with --rank and --world-size have extracted them.

Checks that the parts of every source are there, and names those that are missing."""


def add_parser(commands: Any) -> None:
    """Add the parser of ``merge``."""
    merge = commands.add_parser("merge", help="write the tables after several ranks", description=DESCRIPTION)
    merge.add_argument("out", type=Path, metavar="OUT", help="folder that `extract` wrote to")
    merge.add_argument("--json", action="store_true", help="print the summary as one JSON object")
    merge.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Merge, and print the totals; 1 if units were left out because they crashed, hung or ran out of memory."""
    from lvm_med_monai.slices.work.merging import merge

    summary = merge(options.out)
    print_fields(asdict(summary), options.json)
    return 1 if summary.units_failed else 0
