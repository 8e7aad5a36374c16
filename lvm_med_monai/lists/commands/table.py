"""``table``: the table of all cards."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from lvm_med_monai.lists.commands.output import add_command, answer

DESCRIPTION = """\
Print the table of all cards in Markdown, or put it into a page between the lines <!-- cards --> and
<!-- end of cards -->."""
EPILOG = """\
exit status: 0 done, 1 with --check: the page has another table than the cards, 2 wrong input

examples:
  python -m lvm_med_monai.lists table
  python -m lvm_med_monai.lists table --write dataset_lists/README.md
  python -m lvm_med_monai.lists table --check dataset_lists/README.md"""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the parser of ``table``."""
    parser = add_command(commands, "table", "the table of all cards", DESCRIPTION, EPILOG)
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--write", type=Path, metavar="PAGE", help="put the table into this page")
    choice.add_argument("--check", type=Path, metavar="PAGE", help="say whether this page has the table")
    return parser


def run(options: argparse.Namespace) -> int:
    """Print, write or compare the table; 1 if it differs."""
    from lvm_med_monai.lists.card_files import load_cards
    from lvm_med_monai.lists.table import make_table, rows_of, with_table

    cards = load_cards(options.cards)
    table = make_table(cards)
    page = options.write or options.check
    if page is None:
        answer({"rows": rows_of(cards)}, options.json, [table])
        return 0
    old = page.read_text(encoding="utf-8")
    new = with_table(old, table)
    if options.write and new != old:
        options.write.write_text(new, encoding="utf-8")
    answer(
        {"page": str(page), "changed": new != old},
        options.json,
        [f"{page}: {'changed' if new != old else 'as it was'}"],
    )
    return 1 if options.check and new != old else 0
