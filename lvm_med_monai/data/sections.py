"""MONAI datalists as they are stored."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_EXAMPLE = '{"image": "a.png", "label": 1}'


def read_sections(root: Path, section: str, name: str = "dataset.json") -> dict[str, list[Any]]:
    """All sections of a datalist, of which one has entries; those are objects.

    Args:
        root: folder of the datalist.
        section: key of the list that is wanted.
        name: file name of the datalist.

    Raises:
        FileNotFoundError: there is no datalist.
        ValueError: the datalist is no JSON object, or the section is absent, empty or no list of objects.
    """
    sections = sections_in(read_content(root / name))
    if section not in sections:
        raise ValueError(f"{name} has no section {section!r} with entries: it has {sorted(sections)}")
    if not sections[section]:
        raise ValueError(f"the section {section!r} of {name} is empty: add entries such as {_EXAMPLE}, or name another")
    check_entries(sections[section], section, name)
    return sections


def read_content(path: Path) -> dict[str, Any]:
    """What a datalist holds: its sections and whatever else, such as the ``name`` of the Decathlon's.

    Raises:
        FileNotFoundError: there is no datalist.
        ValueError: it is no JSON object.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"no datalist {path.name} in {path.parent}: write one with sections of images and their labels"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"the datalist {path} is no JSON ({error}): correct it there, or write it anew") from error
    if not isinstance(content, dict):
        raise ValueError(f'the datalist {path} has no sections: write an object such as {{"training": [{_EXAMPLE}]}}')
    return content


def sections_in(content: dict[str, Any]) -> dict[str, list[Any]]:
    """The lists of a datalist, by their keys."""
    return {key: value for key, value in content.items() if isinstance(value, list)}


def check_entries(entries: Sequence[Any], section: str, name: str) -> None:
    """Make sure that a section holds objects.

    Raises:
        ValueError: an entry is anything else, such as the paths in the ``test`` of the Decathlon's.
    """
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise ValueError(
                f"entry {number} of section {section!r} of {name} is {entry!r}, expected an object such as {_EXAMPLE}"
            )
