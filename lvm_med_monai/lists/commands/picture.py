"""``picture``: sets by modality and anatomy."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from lvm_med_monai.lists.commands.output import add_command, answer

DESCRIPTION = "Draw how many data sets there are of each modality and anatomy, as SVG."
EPILOG = """\
example:
  python -m lvm_med_monai.lists picture -o docs/datasets.svg"""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the parser of ``picture``."""
    parser = add_command(commands, "picture", "sets by modality and anatomy", DESCRIPTION, EPILOG)
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="FILE", help="SVG to write")
    return parser


def run(options: argparse.Namespace) -> int:
    """Write the picture."""
    from lvm_med_monai.lists.card_files import load_cards
    from lvm_med_monai.lists.picture import draw

    text = draw(load_cards(options.cards))
    options.out.write_text(text, encoding="utf-8")
    answer({"picture": str(options.out), "bytes": len(text)}, options.json, [f"{options.out}: {len(text):,} bytes"])
    return 0
