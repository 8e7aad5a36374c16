"""MONAI datalists as they are stored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_sections(root: Path, section: str, name: str = "dataset.json") -> dict[str, Any]:
    """All of a datalist, of which one section has entries.

    Args:
        root: folder of the datalist.
        section: key of the list that is wanted.
        name: file name of the datalist.

    Raises:
        FileNotFoundError: there is no datalist.
        ValueError: the section is absent or empty.
    """
    path = root / name
    if not path.is_file():
        raise FileNotFoundError(f"no datalist {name} in {root}: write one with sections of images and their labels")
    sections = json.loads(path.read_text(encoding="utf-8"))
    found = sections.get(section) if isinstance(sections, dict) else None
    if not isinstance(found, list) or not found:
        known = sorted(sections) if isinstance(sections, dict) else "no sections"
        raise ValueError(f"{name} has no section {section!r} with entries: it has {known}")
    return sections
