"""``stats``: what an extracted folder holds, as a page or as JSON."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

DESCRIPTION = """\
Count what an extracted folder holds: slices and patients by data set and split, modalities, planes, spacings, sizes,
intensities of a sample, flags, and what was left out and why. -o writes one HTML page that needs no other file and no
network; --json prints the same numbers. Nothing in them names a patient."""
EPILOG = """\
exit status: 0 done, 2 the folder cannot be read

examples:
  python -m lvm_med_monai.slices stats slices -o stats.html
  python -m lvm_med_monai.slices stats slices --json --sample 0"""


def add_parser(commands: Any) -> None:
    """Add the parser of ``stats``."""
    raw = argparse.RawDescriptionHelpFormatter
    stats = commands.add_parser(
        "stats",
        help="count what was extracted, as an HTML page",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=raw,
    )
    add = stats.add_argument
    add("out", type=Path, metavar="OUT", help="folder that extract wrote")
    add("-o", "--page", type=Path, metavar="FILE", help="write the HTML page there")
    add("--sample", type=int, default=32, metavar="N", help="slices a modality to read (default: %(default)s)")
    add("--json", action="store_true", help="print one JSON object")
    stats.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Count, write the page, and print.

    Raises:
        ValueError: neither a page nor JSON is asked for.
    """
    from lvm_med_monai.slices.report.page import page
    from lvm_med_monai.slices.report.statistics import collect

    if options.page is None and not options.json:
        raise ValueError("name the page to write with -o stats.html, or ask for --json")
    found = collect(options.out, options.sample)
    if options.page is not None:
        options.page.write_text(page(found), encoding="utf-8")
    print(json.dumps(found) if options.json else options.page)
    return 0
