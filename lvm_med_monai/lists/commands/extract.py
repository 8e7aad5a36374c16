"""``extract``: slices of downloads."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvm_med_monai.lists.commands.output import add_command, answer, columns

if TYPE_CHECKING:
    from lvm_med_monai.lists.cards import Card

DESCRIPTION = """\
Extract the slices of one download, or of every folder below ROOT that is named like a card, into one slice folder.

Only images of the cards are read: no masks, no files that a card does not speak of. The card says the modality where
files cannot, the planes, the spacing of slices, the size of tiles, and what in a path names the patient; sets that
share patients share a name space, so that a patient has one hash in all of them. A slice's data set is the card's id.
Run it again to go on where it stopped. `python -m lvm_med_monai.slices verify OUT` proves that nothing is lost."""
EPILOG = """\
exit status: 0 done; 1 done, but some series or files crashed or hung; 2 wrong input

examples:
  python -m lvm_med_monai.lists extract downloads -o slices --split train
  python -m lvm_med_monai.lists extract downloads/Task09_Spleen --card msd_task09_spleen -o slices --split train
  python -m lvm_med_monai.lists extract downloads -o slices --splits train=0.9,test=0.1 --unseen clones/LVM-Med"""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the parser of ``extract``."""
    parser = add_command(commands, "extract", "extract slices of downloads", DESCRIPTION, EPILOG)
    add = parser.add_argument
    add("root", type=Path, metavar="ROOT", help="the download of --card, or the folder of all downloads")
    add("-o", "--out", type=Path, required=True, metavar="OUT", help="slice folder; what is finished there is kept")
    add("--card", metavar="CARD", help="ROOT is the download of this card")
    add("--key", type=Path, metavar="FILE", help="secret key of the identities; made if missing (default: OUT.key)")
    add("--split", default="", metavar="NAME", help="split of all slices; the pretraining bundle reads train")
    add("--splits", metavar="SHARES", help="such as train=0.9,test=0.1: by patient, where --split is not given")
    add("--lists", type=Path, metavar="CLONE", help="extract only what a clone of LVM-Med lists for training")
    add("--unseen", type=Path, metavar="CLONE", help="leave out what LVM-Med was pretrained on; see `overlap`")
    add("--every-mm", type=float, metavar="MM", help="least distance of kept slices, where the card says nothing")
    add("--codec", help="png (default), jxl, htj2k or blosc2")
    add("--bits", type=int, help="16 (default) keeps the values, 8 keeps 256 steps of a window")
    add("--workers", type=int, metavar="N", help="worker processes; 0 reads in this one (default: cores)")
    return parser


def run(options: argparse.Namespace) -> int:
    """Extract, and print the totals; 1 if units crashed or hung."""
    from lvm_med_monai.lists.card_files import find_card, load_cards
    from lvm_med_monai.lists.extraction import downloads, extract_card
    from lvm_med_monai.slices import SlicePolicy
    from lvm_med_monai.slices.splits import Splits
    from lvm_med_monai.slices.store.storage import Storage

    cards = load_cards(options.cards)
    roots = {find_card(cards, options.card).id: options.root} if options.card else downloads(cards, options.root)
    every = {} if options.every_mm is None else {"every_mm": options.every_mm}
    stored = {name: value for name in ("codec", "bits") if (value := getattr(options, name)) is not None}
    totals = []
    for name, root in roots.items():
        card = cards[name]
        print(f"{name}: {root}", file=sys.stderr)
        totals.append(
            extract_card(
                card,
                root,
                options.out,
                split=options.split,
                leave_out=_left_out(card, cards, root, options),
                policy=SlicePolicy(**every),
                key_file=options.key,
                storage=Storage(**stored),
                splits=Splits.parse(options.splits) if options.splits else None,
                workers=_workers(options.workers),
                progress=not options.json,
            )
        )
    failed = sum(total.units_failed for total in totals)
    fields = {**asdict(totals[-1]), "cards": list(roots), "units_failed": failed}
    answer(fields, options.json, columns(list(fields.items())))
    return 1 if failed else 0


def _left_out(card: Card, cards: dict[str, Card], root: Path, options: argparse.Namespace) -> frozenset[str]:
    from lvm_med_monai.lists.leakage import seen_samples, unlisted_samples

    seen = seen_samples(card, cards, root, options.unseen) if options.unseen else frozenset()
    return seen | (unlisted_samples(card, root, options.lists) if options.lists else frozenset())


def _workers(wanted: int | None) -> int:
    if wanted is not None:
        return wanted
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
