"""The table of all cards in Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lvm_med_monai.lists.cards import COLLECTIONS, Card

BEGIN, END = "<!-- cards -->", "<!-- end of cards -->"
HEADINGS = {"pretraining": "Pretraining", "downstream": "Downstream"}
COLUMNS = ("title", "modality", "anatomy", "dimensions", "access", "licence", "size", "split")
UNKNOWN = "unknown"


def rows_of(cards: Mapping[str, Card]) -> list[dict[str, Any]]:
    """A row a card: its id, collection and `COLUMNS`; what is not known is `UNKNOWN`."""
    return [_row(card) for card in cards.values()]


def _row(card: Card) -> dict[str, Any]:
    raw = card.raw
    size = raw.get("size") or {}
    number, unit = size.get("published"), size.get("unit") or ""
    return {
        "id": card.id,
        "collection": card.collection,
        "title": card.title,
        "home_page": raw.get("home_page"),
        "modality": ", ".join(card.modalities),
        "anatomy": ", ".join(card.anatomy),
        "dimensions": f"{card.dimensions}D",
        "access": raw.get("access") or UNKNOWN,
        "licence": (raw.get("licence") or {}).get("name") or UNKNOWN,
        "size": UNKNOWN if number is None else f"{number:,} {unit}".strip(),
        "split": _split(card),
    }


def _split(card: Card) -> str:
    rule = card.split
    if rule.rule == "none":
        return "none"
    sizes = [rule.published_sizes.get(name) for name in rule.parts]
    known = [f"{size:,}" for size in sizes if size is not None]
    text = f"{rule.rule}, {' / '.join(known)}" if known and len(known) == len(sizes) else rule.rule
    return text + (" (flawed)" if rule.flaws else "")


def make_table(cards: Mapping[str, Card]) -> str:
    """Markdown: a heading with the number of cards and a table for each collection."""
    parts = []
    for collection in COLLECTIONS:
        rows = [row for row in rows_of(cards) if row["collection"] == collection]
        parts.append(f"### {HEADINGS[collection]}: {len(rows)} data sets\n")
        parts.append("| " + " | ".join(("card", *COLUMNS)) + " |")
        parts.append("|" + "---|" * (len(COLUMNS) + 1))
        parts += [_line(row) for row in rows]
        parts.append("")
    return "\n".join(parts)


def _line(row: Mapping[str, Any]) -> str:
    title = f"[{_cell(row['title'])}]({row['home_page']})" if row["home_page"] else _cell(row["title"])
    card = f"[`{row['id']}`]({row['collection']}/{row['id']}.json)"
    return "| " + " | ".join((card, title, *(_cell(row[name]) for name in COLUMNS[1:]))) + " |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def with_table(page: str, table: str) -> str:
    """A page with the table between its two marks.

    Raises:
        ValueError: the page has no such marks, or not in this order.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no lines {BEGIN} and {END}, between which the table goes")
    return f"{before}{BEGIN}\n\n{table}\n{END}{after}"
