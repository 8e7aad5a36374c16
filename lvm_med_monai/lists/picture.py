"""A picture of all cards: how many sets there are of each modality and anatomy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from html import escape

from lvm_med_monai.lists.cards import COLLECTIONS, Card

MODALITIES = {
    "CT": "CT",
    "MR": "MRI",
    "CR": "X-ray",
    "DX": "X-ray",
    "RG": "X-ray",
    "PX": "X-ray",
    "MG": "X-ray",
    "XA": "X-ray",
    "US": "Ultrasound",
    "OP": "Fundus",
    "OPT": "OCT",
    "OCT": "OCT",
    "ES": "Endoscopy",
    "SM": "Histology",
    "GM": "Microscopy",
    "EM": "Microscopy",
    "XC": "Photograph",
    "PT": "PET",
}
"""DICOM code -> column; codes of radiography are one column."""
REGIONS = {
    "Brain": ("brain",),
    "Eye": ("eye",),
    "Head and neck": ("head and neck", "teeth", "thyroid"),
    "Heart, vessels": ("heart", "vessels"),
    "Chest": ("chest", "lung", "oesophagus"),
    "Breast": ("breast",),
    "Abdomen": ("abdomen", "liver", "pancreas", "spleen", "kidney", "stomach", "colon", "rectum"),
    "Pelvis": ("pelvis", "prostate", "uterus", "fetus"),
    "Skin": ("skin",),
    "Bone, muscle": ("bone", "hand", "shoulder", "soft tissue"),
    "Blood, cells": ("blood", "bone marrow", "lymph node", "cultured cells"),
}
"""Row -> words of the cards; the first word of a card that has a row counts."""
OTHER = "Other"
ORDER = (
    *("CT", "MRI", "PET", "X-ray", "Ultrasound", "Endoscopy", "Photograph", "Fundus", "OCT", "Histology"),
    *("Microscopy", OTHER),
)
CELL_W, CELL_H, LEFT, TOP = 84, 34, 116, 92
INK, GREY, LINE = "#222222", "#6b7280", "#e5e7eb"
COLOURS = {"pretraining": "#0072b2", "downstream": "#d55e00"}
STYLE = "font-family:Helvetica,Arial,sans-serif"


def region_of(words: Iterable[str]) -> str:
    """Row of an anatomy, whose main region comes first."""
    rows = {word: row for row, members in REGIONS.items() for word in members}
    return next((rows[word.lower()] for word in words if word.lower() in rows), OTHER)


def columns_of(card: Card) -> list[str]:
    """Columns of a card: one for each modality that differs."""
    return list(dict.fromkeys(MODALITIES.get(code, OTHER) for code in card.modalities)) or [OTHER]


def counts_of(cards: Mapping[str, Card]) -> Counter[tuple[str, str, str]]:
    """(collection, row, column) -> number of sets. A set of several modalities counts in each."""
    return Counter(
        (card.collection, region_of(card.anatomy), column) for card in cards.values() for column in columns_of(card)
    )


def draw(cards: Mapping[str, Card]) -> str:
    """SVG: rows of anatomy, columns of modality, a dot in each cell whose area is the number of sets."""
    counts = counts_of(cards)
    columns = [name for name in ORDER if any(key[2] == name for key in counts)]
    rows = [name for name in (*REGIONS, OTHER) if any(key[1] == name for key in counts)]
    width, height = LEFT + CELL_W * (len(columns) + 1) + 12, TOP + CELL_H * (len(rows) + 1) + 34
    parts = [_head(width, height, cards), *_grid(columns, rows), *_cells(counts, columns, rows)]
    parts += _totals(counts, columns, rows)
    note = "A set with several modalities counts in each of them, so the totals are larger than the numbers of sets."
    parts.append(_text(12, height - 12, note, size=11, colour=GREY))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _head(width: int, height: int, cards: Mapping[str, Card]) -> str:
    sizes = Counter(card.collection for card in cards.values())
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'role="img" aria-label="Data sets by modality and anatomy">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        _text(12, 24, "Data sets by modality and anatomy", size=16, weight=600),
    ]
    x = 12
    for name in COLLECTIONS:
        lines.append(f'<circle cx="{x + 6}" cy="44" r="6" fill="{COLOURS[name]}"/>')
        label = f"{name}, {sizes[name]} sets"
        lines.append(_text(x + 18, 48, label, size=12))
        x += 40 + 7 * len(label)
    return "\n".join(lines)


def _grid(columns: list[str], rows: list[str]) -> list[str]:
    right = LEFT + CELL_W * (len(columns) + 1)
    lines = []
    for i, name in enumerate([*columns, "all"]):
        lines.append(_text(_x(i), TOP - 14, name, size=12, anchor="middle", weight=600))
    for j, name in enumerate([*rows, "all"]):
        y = TOP + CELL_H * j
        lines.append(f'<line x1="12" y1="{y}" x2="{right}" y2="{y}" stroke="{LINE}"/>')
        lines.append(_text(12, _y(j) + 4, name, size=12, weight=600 if name == "all" else 400))
    return lines


def _cells(counts: Counter[tuple[str, str, str]], columns: list[str], rows: list[str]) -> list[str]:
    """A dot for each collection, side by side where a cell has both."""
    lines = []
    for i, column in enumerate(columns):
        for j, row in enumerate(rows):
            here = [(name, counts[name, row, column]) for name in COLLECTIONS if counts[name, row, column]]
            for k, (name, number) in enumerate(here):
                x = _x(i) + (0 if len(here) == 1 else 30 * k - 15)
                lines += _dot(x, _y(j), number, COLOURS[name], f"{column}, {row}: {number} {name}")
    return lines


def _dot(x: float, y: float, number: int, colour: str, title: str) -> list[str]:
    radius = min(15.0, 8 + 2.4 * (number - 1) ** 0.5)
    return [
        f'<circle cx="{x:g}" cy="{y:g}" r="{radius:.1f}" fill="{colour}"><title>{escape(title)}</title></circle>',
        _text(x, y + 4, str(number), size=11, anchor="middle", colour="white", weight=600),
    ]


def _totals(counts: Counter[tuple[str, str, str]], columns: list[str], rows: list[str]) -> list[str]:
    lines = []
    for i, column in enumerate(columns):
        number = sum(n for (_, _, c), n in counts.items() if c == column)
        lines.append(_text(_x(i), _y(len(rows)) + 4, str(number), size=12, anchor="middle"))
    for j, row in enumerate(rows):
        number = sum(n for (_, r, _), n in counts.items() if r == row)
        lines.append(_text(_x(len(columns)), _y(j) + 4, str(number), size=12, anchor="middle"))
    lines.append(_text(_x(len(columns)), _y(len(rows)) + 4, str(counts.total()), size=12, anchor="middle", weight=600))
    return lines


def _x(column: int) -> float:
    return LEFT + CELL_W * (column + 0.5)


def _y(row: int) -> float:
    return TOP + CELL_H * (row + 0.5)


def _text(x: float, y: float, text: str, size: int, anchor: str = "start", colour: str = INK, weight: int = 400) -> str:
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}" fill="{colour}" font-weight="{weight}" '
        f'style="{STYLE}">{escape(text)}</text>'
    )
