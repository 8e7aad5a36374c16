"""``verify``: check an extracted folder."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lvm_med_monai.slices.commands.output import print_fields


def add_parser(commands: Any) -> None:
    """Add the parser of ``verify``."""
    verify = commands.add_parser("verify", help="check an extracted folder")
    verify.add_argument("out", type=Path, metavar="OUT", help="folder that extract wrote")
    verify.add_argument("--json", action="store_true", help="print one JSON object")
    verify.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Verify; 1 if a fault was found."""
    from lvm_med_monai.slices.verification import verify

    result = verify(options.out)
    print_fields(asdict(result), options.json)
    return 0 if result.ok else 1
