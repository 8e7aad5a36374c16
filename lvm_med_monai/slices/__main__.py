"""Command line: ``python -m lvm_med_monai.slices COMMAND``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from lvm_med_monai.exit_status import run_command
from lvm_med_monai.slices.commands import extract, merge, montage, scan, stats, verify

COMMANDS = (scan, extract, merge, verify, montage, stats)
DESCRIPTION = """\
Turn medical volumes and series into 2D slices.

  scan     shows what would be read: stacks with geometry and flags, and files that give none, with the reason
           and a plan of the work, if asked to
  extract  writes the slices into tar shards, with a manifest; run it again to go on where it stopped
  merge    puts the tables together after several processes have extracted
  verify   reads every slice back and closes the accounts of files
  stats    writes a page of counts, sizes, intensities and rejects
  montage  draws a contact sheet of every data set"""
EPILOG = """\
examples:
  python -m lvm_med_monai.slices scan demo_data/brain_mr_dicom
  python -m lvm_med_monai.slices extract demo_data/chest_ct/ct.nii.gz -o slices --modality CT --split train
  python -m lvm_med_monai.slices extract --sources sources.json -o slices --every-mm 0
  python -m lvm_med_monai.slices verify slices --json

DICOM, NIfTI, Analyze, MGH, MetaImage, NRRD, PNG, JPEG, TIFF, BMP and the HDF5 of PatchCamelyon are told by content,
in folders and in zip and tar archives. `COMMAND --help` has more, such as how to run on Slurm and Ray. NIfTI and NRRD
files do not say their modality: give --modality CT where the values are HU. docs/slices.md explains manifest, flags and
reasons."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        The exit status: 0; 1 if `verify` finds a fault, or `extract` had to leave out what crashed or hung; 2 for wrong
        input or a disk that is full; 130 if interrupted.
    """
    return run_command(_parser().parse_args(arguments), "interrupted; run the same command again to go on")


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
