"""``mix``: the balanced list for pretraining."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from lvm_med_monai.lists.commands.output import add_command, answer, columns

DESCRIPTION = """\
Write the list that pretraining goes through in an epoch: every slice once, and slices of minority modalities again,
each copy as another crop of 85 to 95 % of the area, scaled back (LVM-Med, section 4.1).

A group of n slices has the share n^power / sum(n^power); the paper does not publish its proportions, and the square
root (--power 0.5, the default) lets a modality that is a hundred times rarer be seen ten times less. --shares sets them
by hand. No slice meets its own copy in a batch: groups too small for their share are capped, which is told.

The list is a Parquet file. --overlay writes the configuration that makes lvm_med_pretraining take it."""
EPILOG = """\
exit status: 0 written; 1 written, but a group was capped; 2 wrong input

examples:
  python -m lvm_med_monai.lists mix slices -o mix.parquet --overlay mix.json
  python -m lvm_med_monai.lists mix slices -o mix.parquet --shares CT=0.4,MR=0.4,US=0.2 --batch-size 400
  B=bundles/lvm_med_pretraining
  python -m monai.bundle run --config_file "['$B/configs/train.json', 'mix.json']" --bundle_root $B \\
      --dataset_dir slices"""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the parser of ``mix``."""
    parser = add_command(commands, "mix", "write the balanced list", DESCRIPTION, EPILOG)
    add = parser.add_argument
    add("slices", metavar="SLICES", help="slice folder, or URL of one")
    add("-o", "--out", type=Path, required=True, metavar="FILE", help="list to write, Parquet")
    add("--overlay", type=Path, metavar="FILE", help="configuration for the bundle to write, JSON")
    add("--by", nargs="+", default=["modality"], metavar="FIELD", help="groups: modality (default), dataset, plane")
    add("--power", type=float, default=0.5, help="1 keeps natural shares, 0 makes all equal (default: 0.5)")
    add("--shares", metavar="SHARES", help="such as CT=0.5,MR=0.3,US=0.2, in place of the formula")
    add("--split", nargs="+", default=["train"], metavar="NAME", help="splits to take (default: train)")
    add("--items", type=int, metavar="N", help="length of the list (default: as every slice needs to be in it)")
    add("--batch-size", type=int, default=200, metavar="N", help="of the training, on all processes (default: 200)")
    add("--seed", type=int, default=0)
    return parser


def run(options: argparse.Namespace) -> int:
    """Write the list; 1 if a group was capped."""
    from lvm_med_monai.lists.mix import make_mix
    from lvm_med_monai.lists.mix_file import overlay, write_mix

    mix = make_mix(
        options.slices,
        options.by,
        options.power,
        shares=_shares(options.shares) if options.shares else None,
        split=options.split,
        items=options.items,
        batch_size=options.batch_size,
        seed=options.seed,
    )
    write_mix(mix, options.out)
    if options.overlay:
        options.overlay.write_text(json.dumps(overlay(options.out, options.split), indent=4) + "\n", encoding="utf-8")
    rows, capped = mix.table(), mix.settings["capped"]
    lines = columns(
        [("group", "slices", "items", "share", "repeats")]
        + [(r["group"], r["slices"], r["items"], f"{r['share']:.4f}", f"{r['repeats']:.2f}") for r in rows],
        right=(1, 2, 3, 4),
    )
    lines.append(f"{options.out}: {len(mix):,} items an epoch")
    lines += [f"capped: {name} has too few slices for its share of a batch of {options.batch_size}" for name in capped]
    answer({"mix": str(options.out), "items": len(mix), "groups": rows, "capped": capped}, options.json, lines)
    return 1 if capped else 0


def _shares(text: str) -> dict[str, float]:
    try:
        pairs = [item.rsplit("=", 1) for item in text.split(",")]
        shares = {name.strip(): float(share) for name, share in pairs}
    except ValueError:
        raise ValueError(f"shares are written as CT=0.5,MR=0.5; got {text!r}") from None
    if len(shares) != len(pairs):
        raise ValueError(f"a group is named twice in {text!r}")
    return shares
