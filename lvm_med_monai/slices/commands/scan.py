"""``scan``: what would be read."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any


def add_parser(commands: Any) -> None:
    """Add the parser of ``scan``."""
    scan = commands.add_parser("scan", help="show stacks and rejects, reading headers only")
    scan.add_argument("sources", nargs="+", type=Path, metavar="SRC", help="file or folder")
    scan.add_argument("--json", action="store_true", help="print one JSON object a line")
    scan.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print a line a stack or reject."""
    from lvm_med_monai.slices.scan import describe, table
    from lvm_med_monai.slices.walk import iter_stacks

    rows = [describe(item) for source in options.sources for item in iter_stacks(source)]
    print("\n".join(json.dumps(row) for row in rows) if options.json else table(rows))
    return 0
