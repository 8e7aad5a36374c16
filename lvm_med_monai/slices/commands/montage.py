"""``montage``: contact sheets of an extracted folder."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

DESCRIPTION = """\
Draw a contact sheet of every data set: slices spread over patients, stacks and flags, each through its default window
and with modality, plane, position, size, spacing and flags. Always the same slices. No names, dates or paths are
drawn, but pixels may show a face or burned-in text: look at the sheets before you pass them on."""
EPILOG = """\
exit status: 0 done, 2 the folder holds no slices that can be read

example:
  python -m lvm_med_monai.slices montage slices -o sheets --count 48"""


def add_parser(commands: Any) -> None:
    """Add the parser of ``montage``."""
    raw = argparse.RawDescriptionHelpFormatter
    montage = commands.add_parser(
        "montage", help="draw a contact sheet a data set", description=DESCRIPTION, epilog=EPILOG, formatter_class=raw
    )
    add = montage.add_argument
    add("out", type=Path, metavar="OUT", help="folder that extract wrote")
    add("-o", "--folder", type=Path, required=True, metavar="FOLDER", help="where the PNG files go")
    add("--count", type=int, default=48, metavar="N", help="slices a sheet (default: %(default)s)")
    add("--json", action="store_true", help="print one JSON object")
    montage.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Draw, and print the files."""
    from lvm_med_monai.slices.report.montage import montage

    paths = [str(path) for path in montage(options.out, options.folder, options.count)]
    print(json.dumps({"sheets": paths}) if options.json else "\n".join(paths))
    return 0
