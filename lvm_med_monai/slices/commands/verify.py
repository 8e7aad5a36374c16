"""``verify``: check an extracted folder."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lvm_med_monai.slices.commands.output import print_fields

DESCRIPTION = """\
Prove that an extracted folder is whole:

  files    every input file is in exactly one of manifest and rejects, so files_in = files_in_manifest +
           files_in_rejects
  pixels   every slice can be read and hashes to what the manifest says; shards hold nothing else
  ids      no slice_id occurs twice
  parts    all parts of all sources are there and in the tables
  splits   no patient and no study is in two splits, in whatever data sets

Equal images in two splits are a warning: blank or synthetic slices may be equal, copies of a scan should not."""
EPILOG = """\
exit status: 0 nothing is wrong, 1 faults were found, 2 the folder cannot be checked

examples:
  python -m lvm_med_monai.slices verify slices
  python -m lvm_med_monai.slices verify slices --workers 8 --json
  python -m lvm_med_monai.slices verify slices --sample 10000"""


def add_parser(commands: Any) -> None:
    """Add the parser of ``verify``."""
    raw = argparse.RawDescriptionHelpFormatter
    verify = commands.add_parser(
        "verify", help="check an extracted folder", description=DESCRIPTION, epilog=EPILOG, formatter_class=raw
    )
    add = verify.add_argument
    add("out", type=Path, metavar="OUT", help="folder that extract wrote")
    add("--sample", type=int, metavar="N", help="hash the pixels of N slices only; the rest is checked as a whole")
    add("--workers", type=int, default=0, metavar="N", help="processes that read shards (default: this one alone)")
    add("--json", action="store_true", help="print one JSON object")
    verify.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Verify; 1 if a fault was found."""
    from lvm_med_monai.slices.checks.verification import verify

    result = verify(options.out, sample=options.sample, workers=options.workers, progress=not options.json)
    print_fields({**asdict(result), "faults": list(result.faults), "warnings": list(result.warnings)}, options.json)
    return 0 if result.ok else 1
