"""``datalist``: a MONAI datalist of a download."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from lvm_med_monai.lists.commands.output import add_command, answer

DESCRIPTION = """\
Write a MONAI datalist, {"training": [...], "validation": [...], "test": [...]}, by the split of the card. Sets without
a split get {"training": [...]}.

Entries have "image" and, as the card has them, "label": a mask, or the number of a class; for detection "box", in
pixels as left, top, right, bottom, and "label", a number each. Paths are relative to the folder of the datalist.

A split by a seed depends on names alone: not on the order of files, the machine or Python's hash seed, and never
separates a patient. Some published splits have flaws, which are told; --avoid-flaws takes a sound split instead."""
EPILOG = """\
exit status: 0 written; 1 written, but samples whose mask is missing were left out, or the published split separates
patients; 2 wrong input

examples:
  python -m lvm_med_monai.lists datalist busi downloads/Dataset_BUSI_with_GT -o busi.json
  python -m lvm_med_monai.lists datalist fgadr downloads/FGADR -o fgadr.json --avoid-flaws
  python -m lvm_med_monai.lists datalist vindr_cxr downloads/vindr -o vindr.json --unseen clones/LVM-Med"""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the parser of ``datalist``."""
    parser = add_command(commands, "datalist", "write a MONAI datalist", DESCRIPTION, EPILOG)
    add = parser.add_argument
    add("card", metavar="CARD", help="id of the card")
    add("root", type=Path, metavar="ROOT", help="folder that the download was unpacked into")
    add("-o", "--out", type=Path, required=True, metavar="FILE", help="datalist to write, JSON")
    add("--avoid-flaws", action="store_true", help="take the card's sound split where the published one has flaws")
    add("--lists", type=Path, metavar="CLONE", help="take the names that a clone of LVM-Med publishes for this set")
    add("--unseen", type=Path, metavar="CLONE", help="leave out what LVM-Med was pretrained on; see `overlap`")
    return parser


def run(options: argparse.Namespace) -> int:
    """Write the datalist; 1 if something was left out."""
    from lvm_med_monai.lists.card_files import find_card, load_cards
    from lvm_med_monai.lists.datalists import make_datalist
    from lvm_med_monai.lists.leakage import seen_samples

    cards = load_cards(options.cards)
    card = find_card(cards, options.card)
    seen = seen_samples(card, cards, options.root, options.unseen) if options.unseen else frozenset()
    below = os.path.relpath(options.root, options.out.parent).replace(os.sep, "/")
    prefix = "" if below == "." else below + "/"
    made = make_datalist(card, options.root, options.avoid_flaws, seen, prefix, options.lists)
    made.write(options.out)
    sizes = {name: len(entries) for name, entries in made.sections.items()}
    fields = {
        "card": card.id,
        "datalist": str(options.out),
        "sizes": sizes,
        "published_sizes": dict(card.split.published_sizes),
        "seen_left_out": len(seen),
        "unlabelled_left_out": len(made.unlabelled),
        "unassigned": len(made.partition.unassigned),
        "separated_patients": len(made.partition.separated),
        "notes": list(made.notes),
    }
    lines = [f"{options.out}: " + ", ".join(f"{number:,} {name}" for name, number in sizes.items())]
    if seen:
        lines.append(f"left out: {len(seen):,} samples that LVM-Med was pretrained on")
    if made.unlabelled:
        lines.append(f"left out: {len(made.unlabelled):,} images without a mask, such as {made.unlabelled[0]}")
    answer(fields, options.json, [*lines, *(f"note: {note}" for note in made.notes)])
    separated = made.partition.separated if card.patient is not None else ()
    return 1 if made.unlabelled or separated else 0
