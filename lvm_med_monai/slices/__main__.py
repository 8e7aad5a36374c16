"""Command line: ``python -m lvm_med_monai.slices {scan,extract,verify}``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

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
    scan = commands.add_parser("scan", help="show stacks and rejects, reading headers only")
    scan.add_argument("sources", nargs="+", type=Path, metavar="SRC", help="file or folder")
    scan.add_argument("--json", action="store_true", help="print one JSON object a line")
    scan.set_defaults(run=_scan)
    _add_extract(commands)
    verify = commands.add_parser("verify", help="check an extracted folder")
    verify.add_argument("out", type=Path, metavar="OUT", help="folder that extract wrote")
    verify.add_argument("--json", action="store_true", help="print one JSON object")
    verify.set_defaults(run=_verify)
    return parser


def _add_extract(commands: Any) -> None:
    extract = commands.add_parser("extract", help="write slices, manifest and rejects")
    add = extract.add_argument
    add("paths", nargs="*", type=Path, metavar="SRC", help="file or folder")
    add("-o", "--out", type=Path, required=True, help="output folder; what is finished there is kept")
    add(
        "--sources",
        type=Path,
        metavar="FILE",
        help="JSON list of objects: path, dataset, modality, tile, planes, split",
    )
    add("--dataset", default="unnamed", metavar="NAME", help="name of the data set (default: %(default)s)")
    add("--modality", metavar="CODE", help="replaces what the files say; CT makes NIfTI and NRRD values HU")
    add("--split", default="", metavar="NAME", help="train, test or any name; undecided if left out")
    add("--planes", nargs="+", metavar="PLANE", help="acquisition (default), axial, coronal, sagittal")
    add("--every-mm", type=float, metavar="MM", help="least distance of kept slices; 0 keeps all (default: 3)")
    add("--min-foreground", type=float, metavar="SHARE", help="least share of foreground pixels (default: 0.05)")
    add("--tile", type=int, metavar="PIXELS", help="cut large pictures into square tiles")
    add("--key", type=Path, metavar="FILE", help="secret key of the identities; made if missing (default: OUT.key)")
    add("--keep-burned-in", action="store_true", help="extract images that may show patient names as text")
    add("--json", action="store_true", help="print the summary as one JSON object")
    extract.set_defaults(run=_extract)


def _scan(options: argparse.Namespace) -> int:
    from lvm_med_monai.slices.scan import describe, table
    from lvm_med_monai.slices.walk import iter_stacks

    rows = [describe(item) for source in options.sources for item in iter_stacks(source)]
    print("\n".join(json.dumps(row) for row in rows) if options.json else table(rows))
    return 0


def _extract(options: argparse.Namespace) -> int:
    from lvm_med_monai.slices.extraction import extract
    from lvm_med_monai.slices.selection import SlicePolicy
    from lvm_med_monai.slices.source import Source, read_sources

    sources = [
        Source(path, options.dataset, options.modality, options.tile, options.planes, options.split)
        for path in options.paths
    ]
    sources += read_sources(options.sources) if options.sources else []
    given = {"every_mm": options.every_mm, "min_foreground": options.min_foreground}
    policy = SlicePolicy(**{name: value for name, value in given.items() if value is not None})
    summary = asdict(extract(sources, options.out, policy, options.key, keep_burned_in=options.keep_burned_in))
    print(json.dumps(summary) if options.json else _lines(summary))
    return 0


def _verify(options: argparse.Namespace) -> int:
    from lvm_med_monai.slices.verification import verify

    result = verify(options.out)
    print(json.dumps(asdict(result)) if options.json else _lines(asdict(result)))
    return 0 if result.ok else 1


def _lines(fields: dict[str, Any]) -> str:
    return "\n".join(f"{name:18} {value}" for name, value in fields.items())


if __name__ == "__main__":
    sys.exit(main())
