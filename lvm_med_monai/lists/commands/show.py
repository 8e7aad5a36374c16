"""``show``: the cards."""

from __future__ import annotations

import argparse
import json
from typing import Any

from lvm_med_monai.lists.commands.output import add_command, answer, columns

DESCRIPTION = """\
List all cards, or show all that one says: where to get the data, under which licence and access, how the files lie,
what the labels mean, how it is split and what is wrong with that split, which other sets have the same patients, and
what is not known."""
EPILOG = """\
examples:
  python -m lvm_med_monai.lists show
  python -m lvm_med_monai.lists show --modality CT --access open
  python -m lvm_med_monai.lists show luna16"""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the parser of ``show``."""
    parser = add_command(commands, "show", "list the cards, or show one", DESCRIPTION, EPILOG)
    add = parser.add_argument
    add("card", nargs="?", metavar="CARD", help="id of a card; all if left out")
    add("--modality", metavar="CODE", help="only sets with this modality, such as CT")
    add("--access", choices=("open", "registration", "request", "unknown"), help="only sets with this access")
    add("--collection", choices=("pretraining", "downstream"), help="only sets of this folder")
    return parser


def run(options: argparse.Namespace) -> int:
    """Print the cards; 1 if none is as wanted."""
    from lvm_med_monai.lists.card_files import find_card, load_cards

    cards = load_cards(options.cards)
    if options.card:
        card = find_card(cards, options.card)
        print(json.dumps(card.raw, indent=None if options.json else 2, ensure_ascii=options.json))
        return 0
    wanted = [
        card
        for card in cards.values()
        if options.modality in (None, *card.modalities)
        and options.access in (None, card.raw.get("access"))
        and options.collection in (None, card.collection)
    ]
    rows = [
        (card.id, card.collection, "/".join(card.modalities), f"{card.dimensions}D", card.raw.get("access"), card.title)
        for card in wanted
    ]
    fields = {
        "cards": [
            dict(zip(("id", "collection", "modalities", "dimensions", "access", "title"), r, strict=True)) for r in rows
        ]
    }
    answer(fields, options.json, [*columns(rows), f"{len(rows)} of {len(cards)} cards; `show CARD` has all of one"])
    return 0 if rows else 1
