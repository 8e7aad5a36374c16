"""Command line: ``python -m lvm_med_monai.slices {scan,extract,verify}``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from lvm_med_monai.slices.commands import extract, scan, verify

COMMANDS = (scan, extract, verify)
DESCRIPTION = """\
Turn medical volumes and series into 2D slices.

  scan     shows what would be read: stacks with geometry and flags, and files that give none, with the reason
  extract  writes the slices as 16-bit PNG in tar shards, with a manifest; run it again to go on where it stopped
  verify   reads every slice back and closes the accounts of files"""
EPILOG = """\
examples:
  python -m lvm_med_monai.slices scan demo_data/brain_mr_dicom
  python -m lvm_med_monai.slices extract demo_data/chest_ct/ct.nii.gz -o slices --modality CT --split train
  python -m lvm_med_monai.slices extract --sources sources.json -o slices --every-mm 0
  python -m lvm_med_monai.slices verify slices --json

DICOM, NIfTI, Analyze, MGH, MetaImage, NRRD, PNG, JPEG, TIFF and BMP are told by content. NIfTI and NRRD files do not
say their modality: give --modality CT where the values are HU. docs/slices.md explains manifest, flags and reasons."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, 1 if `verify` finds a fault, 2 for wrong input."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except (FileNotFoundError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    program = "python -m lvm_med_monai.slices"
    parser = argparse.ArgumentParser(program, description=DESCRIPTION, epilog=EPILOG, formatter_class=raw)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
