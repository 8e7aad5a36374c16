"""``check``: is a download complete?"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvm_med_monai.lists.commands.output import add_command, answer, columns

if TYPE_CHECKING:
    from lvm_med_monai.lists.completeness import Check

DESCRIPTION = """\
Compare a download with its card, by the names of its files alone:

  missing   files that the card requires, masks without images and images without masks, headers without their pixels,
            and fewer images, volumes or patients than are published
  leftover  files that the card does not speak of; they do no harm, and neither datalist nor extract reads them"""
EPILOG = """\
exit status: 0 complete, 1 something is missing, 2 wrong input

examples:
  python -m lvm_med_monai.lists check luna16 downloads/luna16
  python -m lvm_med_monai.lists check --all downloads        (folders that are named like cards)"""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the parser of ``check``."""
    parser = add_command(commands, "check", "is a download complete?", DESCRIPTION, EPILOG)
    parser.add_argument("card", nargs="?", metavar="CARD", help="id of the card")
    parser.add_argument("root", type=Path, metavar="ROOT", help="folder that the download was unpacked into")
    parser.add_argument("--all", action="store_true", help="check each folder below ROOT that is named like a card")
    return parser


def run(options: argparse.Namespace) -> int:
    """Print what is missing; 1 if something is."""
    from lvm_med_monai.lists.card_files import find_card, load_cards
    from lvm_med_monai.lists.completeness import check
    from lvm_med_monai.lists.extraction import downloads

    cards = load_cards(options.cards)
    if bool(options.card) == options.all:
        raise ValueError("give a card and its folder, or --all and the folder of all downloads")
    roots = downloads(cards, options.root) if options.all else {find_card(cards, options.card).id: options.root}
    found = [check(cards[name], root) for name, root in roots.items()]
    fields = {"checks": [{**asdict(item), "complete": item.complete} for item in found]}
    if not options.all:
        fields = fields["checks"][0]  # type: ignore[assignment]  # one object for one card
    answer(fields, options.json, [line for item in found for line in _lines(item)])
    return 0 if all(item.complete for item in found) else 1


def _lines(found: Check) -> list[str]:
    counts = ", ".join(f"{number:,} {name}" for name, number in found.counts.items())
    files = [("  " + f["glob"], f["role"], f["found"], "" if f["required"] else "optional") for f in found.files]
    lines = [f"{found.card}: {'complete' if found.complete else 'INCOMPLETE'}: {counts}", *columns(files, right=(2,))]
    if found.expected is not None:
        lines.append(f"  published: {found.expected:,}, found: {found.found:,}")
    lines += [f"  missing: {text}" for text in found.missing]
    if found.leftover:
        lines.append(f"  leftover: {found.leftover:,} files, such as {', '.join(found.leftover_names[:3])}")
    if found.classes:
        lines.append("  classes: " + ", ".join(f"{name} {number:,}" for name, number in found.classes.items()))
    return lines + [f"  hint: {text}" for text in found.hints]
