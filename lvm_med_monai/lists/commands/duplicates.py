"""``duplicates``: equal and nearly equal slices across sets."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lvm_med_monai.lists.commands.output import add_command, answer

SHOWN = 20
DESCRIPTION = """\
Find slices that two data sets have in common, by the manifests of extracted folders: equal pixels by their SHA-256,
near duplicates by difference hashes (64 bits) that differ in few bits, as those of another size, compression or window
do. Near duplicates are suggestions to look at: different slices of similar anatomy may be as near. Pictures without
structure, such as blank ones, only count as equal.

Use it to find images that a test set shares with a pretraining set under another name."""
EPILOG = """\
exit status: 0 no duplicates, 1 some were found, 2 wrong input

examples:
  python -m lvm_med_monai.lists duplicates slices
  python -m lvm_med_monai.lists duplicates pretraining_slices test_slices --distance 2 -o pairs.json"""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the parser of ``duplicates``."""
    parser = add_command(commands, "duplicates", "equal slices across sets", DESCRIPTION, EPILOG)
    add = parser.add_argument
    add("slices", nargs="+", metavar="SLICES", help="slice folders")
    add("--distance", type=int, default=4, metavar="BITS", help="bits in which near duplicates differ (default: 4)")
    add("--within", action="store_true", help="also pair slices of different patients of one data set")
    add("-o", "--out", type=Path, metavar="FILE", help="write all pairs, JSON")
    return parser


def run(options: argparse.Namespace) -> int:
    """Print the pairs; 1 if there are any."""
    from lvm_med_monai.lists.duplicates import find_duplicates

    found = find_duplicates(options.slices, options.distance, options.within)
    if options.out:
        options.out.write_text(json.dumps([asdict(pair) for pair in found.pairs], indent=1) + "\n", encoding="utf-8")
    equal = sum(pair.equal for pair in found.pairs)
    sets = Counter(" - ".join(sorted((pair.first[0], pair.second[0]))) for pair in found.pairs)
    across = sum(len({*pair.splits, ""}) == 3 for pair in found.pairs)
    fields = {
        "slices": found.slices,
        "plain": found.plain,
        "equal": equal,
        "near": len(found.pairs) - equal,
        "across_splits": across,
        "by_sets": dict(sorted(sets.items())),
    }
    lines = [f"{equal:,} equal and {len(found.pairs) - equal:,} near pairs among {found.slices:,} slices"]
    lines += [f"  {name}: {number:,}" for name, number in sorted(sets.items())]
    if across:
        lines.append(f"  in two splits: {across:,}")
    lines += [
        f"  {p.first[0]} {p.first[1]}  {p.second[0]} {p.second[1]}  {'equal' if p.equal else p.distance}"
        for p in found.pairs[:SHOWN]
    ]
    answer(fields, options.json, lines)
    return 1 if found.pairs else 0
