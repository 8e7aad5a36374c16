"""``extract``: sources to shards and manifest."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lvm_med_monai.slices.commands.output import print_fields


def add_parser(commands: Any) -> None:
    """Add the parser of ``extract``."""
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
    extract.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Extract, and print the totals."""
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
    summary = extract(sources, options.out, policy, options.key, keep_burned_in=options.keep_burned_in)
    print_fields(asdict(summary), options.json)
    return 0
