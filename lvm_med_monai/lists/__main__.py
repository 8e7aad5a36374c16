"""Command line: ``python -m lvm_med_monai.lists COMMAND``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from lvm_med_monai.exit_status import run_command
from lvm_med_monai.lists.commands import check, datalist, duplicates, extract, mix, overlap, picture, show, table

COMMANDS = (show, check, datalist, extract, overlap, mix, duplicates, table, picture)
DESCRIPTION = """\
The data sets of LVM-Med and of its downstream tasks, as cards: what to download, how it is laid out, how it is split.

  show        lists the cards, or shows one
  check       compares a download with its card: what is missing, what is left over
  datalist    writes a MONAI datalist: training, validation and test by the card's rule
  extract     extracts the slices of one download, or of all below a folder
  overlap     tells which samples were seen when LVM-Med was pretrained
  mix         writes the balanced list for pretraining from extracted slices
  duplicates  finds equal and nearly equal slices across extracted sets
  table       writes the table of all cards
  picture     draws how many sets there are of each modality and anatomy"""
EPILOG = """\
examples:
  python -m lvm_med_monai.lists show msd_task09_spleen
  python -m lvm_med_monai.lists check msd_task09_spleen downloads/Task09_Spleen
  python -m lvm_med_monai.lists datalist kvasir_seg downloads/Kvasir-SEG -o downloads/Kvasir-SEG/dataset.json
  python -m lvm_med_monai.lists extract downloads -o slices --split train
  python -m lvm_med_monai.lists mix slices -o mix.parquet

exit status: 0 all is well; 1 something is missing, or was found that should not be; 2 wrong input; 130 interrupted.
`COMMAND --help` has more; docs/lists.md explains the rules, dataset_lists/README.md the cards."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        The exit status: 0; 1 if something is missing or was found; 2 for wrong input; 130 if interrupted.
    """
    return run_command(_parser().parse_args(arguments))


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    program = "python -m lvm_med_monai.lists"
    parser = argparse.ArgumentParser(program, description=DESCRIPTION, epilog=EPILOG, formatter_class=raw)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        added = command.add_parser(commands)
        added.add_argument(
            "--cards", type=Path, metavar="FOLDER", help="folder of cards (default: those that come along)"
        )
        added.add_argument("--json", action="store_true", help="print one JSON object")
        added.set_defaults(run=command.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
