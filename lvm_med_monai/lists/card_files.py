"""Reading cards from the JSON files of ``dataset_lists``, with one clear error a fault."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import lvm_med_monai
from lvm_med_monai.lists.cards import (
    COLLECTIONS,
    FAMILIES,
    ROLES,
    RULES,
    UNITS,
    Card,
    FilePattern,
    Layout,
    SplitRule,
)

SCHEMA_VERSION = 1
"""Grows with every change of the format that a reader must know of."""


def cards_folder() -> Path:
    """Folder of the cards: inside of an installed package, or beside it in a checkout.

    Raises:
        FileNotFoundError: there are none.
    """
    package = Path(lvm_med_monai.__file__).parent
    for folder in (package / "dataset_lists", package.parent / "dataset_lists"):
        if (folder / COLLECTIONS[0]).is_dir():
            return folder
    raise FileNotFoundError(f"no cards in {package} or beside it; install lvm-med-monai again, or give --cards FOLDER")


def load_cards(folder: Path | None = None) -> dict[str, Card]:
    """All cards by id, in the order of the paper's table, then by id.

    Args:
        folder: with the folders ``pretraining`` and ``downstream``; `cards_folder` if None.

    Raises:
        FileNotFoundError: the folder holds no cards.
        ValueError: a card has a fault, or two have one id.
    """
    folder = cards_folder() if folder is None else folder
    cards: dict[str, Card] = {}
    for path in sorted(path for name in COLLECTIONS for path in (folder / name).glob("*.json")):
        card = read_card(path)
        if card.id in cards:
            raise ValueError(f"{path}: another card has the id {card.id}")
        cards[card.id] = card
    if not cards:
        raise FileNotFoundError(f"{folder} holds no cards; it needs folders {' and '.join(COLLECTIONS)} with *.json")
    return {card.id: card for card in sorted(cards.values(), key=_place)}


def _place(card: Card) -> tuple[int, int, str]:
    number = (card.raw.get("paper") or {}).get("table_13_number")
    return COLLECTIONS.index(card.collection), 1 << 16 if number is None else number, card.id


def find_card(cards: Mapping[str, Card], name: str) -> Card:
    """The card with an id; raises ValueError, with the nearest ids, if there is none."""
    if name in cards:
        return cards[name]
    from difflib import get_close_matches

    near = get_close_matches(name, cards, n=3, cutoff=0.4) or [key for key in cards if name.lower() in key][:3]
    raise ValueError(f"no card {name}; {'did you mean ' + ', '.join(near) if near else '`lists show` names all'}?")


def read_card(path: Path) -> Card:
    """Read one card.

    Raises:
        ValueError: it has a fault, which the message names.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(raw, dict):
            raise ValueError("it is no JSON object")
        if raw.get("schema_version") != SCHEMA_VERSION:
            raise ValueError(
                f"schema_version is {raw.get('schema_version')}, this version of lvm_med_monai reads {SCHEMA_VERSION}"
            )
        if raw["id"] != path.stem:
            raise ValueError(f"id is {raw['id']}, but the file's name says {path.stem}")
        return card_of(raw, path.parent.name)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"card {path}: a field is missing or of another type than it should be: {error}") from error
    except ValueError as error:
        raise ValueError(f"card {path}: {error}") from error


def card_of(raw: Mapping[str, Any], collection: str) -> Card:
    """A card from its JSON object and the name of its folder; raises as `read_card`, and for what is missing."""
    patient = raw.get("patient") or {}
    return Card(
        id=raw["id"],
        collection=_one_of("folder", collection, COLLECTIONS),
        title=raw["title"],
        modalities=tuple(raw["modalities"]),
        anatomy=tuple(raw["anatomy"]),
        dimensions=_one_of("dimensions", raw["dimensions"], (2, 3)),
        layout=_layout(raw["layout"]),
        split=_split(raw["split"]),
        patient=expression("patient.pattern", patient.get("pattern")),
        patient_space=patient.get("space"),
        labels=dict(raw.get("labels") or {}),
        raw=raw,
    )


def _layout(raw: Mapping[str, Any]) -> Layout:
    files = tuple(
        FilePattern(_one_of("role", file["role"], ROLES), _glob(file["glob"]), file["required"], file.get("note"))
        for file in raw["files"]
    )
    if not any(file.role == "image" for file in files):
        raise ValueError("layout.files names no file of role image")
    family = _one_of("layout.family", raw["family"], FAMILIES)
    pair, label_from = (expression(f"layout.{name}", raw.get(name)) for name in ("pair", "label_from"))
    return Layout(family, files, pair, label_from)


def _split(raw: Mapping[str, Any]) -> SplitRule:
    rule, parts = _one_of("split.rule", raw["rule"], RULES), dict(raw.get("parts") or {})
    drawn = (isinstance(part, (int, float)) or (isinstance(part, dict) and "share" in part) for part in parts.values())
    if raw.get("seed") is None and any(drawn):
        raise ValueError("parts that are numbers need a seed")
    return SplitRule(
        rule=rule,
        unit=_one_of("split.unit", raw.get("unit") or "image", UNITS),
        parts=parts,
        published_sizes=dict(raw.get("published_sizes") or {}),
        seed=raw.get("seed"),
        pool=_glob(raw["pool"]) if raw.get("pool") else None,
        published_list=raw.get("published_list"),
        flaws=tuple(raw.get("flaws") or ()),
        safe=_split(raw["safe"]) if raw.get("safe") else None,
    )


def _one_of(name: str, value: Any, allowed: Iterable[Any]) -> Any:
    if value not in (options := tuple(allowed)):
        raise ValueError(f"{name} must be one of {', '.join(map(str, options))}, got {value!r}")
    return value


def _glob(text: str) -> str:
    if text.startswith("/") or ".." in text.split("/") or "\\" in text:
        raise ValueError(f"the glob {text} must stay below the root, with forward slashes")
    return text


def expression(name: str, text: str | None) -> re.Pattern[str] | None:
    """A regular expression with exactly one group; None stays None. Raises ValueError for any other."""
    if text is None:
        return None
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise ValueError(f"{name} is no regular expression: {error}") from error
    if pattern.groups != 1:
        raise ValueError(f"{name} needs exactly one group, and has {pattern.groups}: {text}")
    return pattern
