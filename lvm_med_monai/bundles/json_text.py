"""JSON as people read it: what fits on a line stays on a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

WIDTH = 150
_INDENT = 4


def json_text(value: Any) -> str:
    """Text of a configuration file, with a final newline.

    A list or dictionary stands on one line if it fits and holds no list of dictionaries; the outermost one never does.
    """
    return _format(value, 0, outermost=True) + "\n"


def read_json(path: Path) -> Any:
    """Content of a JSON file, refusing repeated keys, of which Python would silently keep the last.

    Raises:
        ValueError: the file is no JSON, or an object repeats a key.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        repeated = sorted({key for key in keys if keys.count(key) > 1})
        if repeated:
            raise ValueError(f"{path.name} repeats the keys {repeated} in one object: keep one of each")
        return dict(pairs)

    try:
        return json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path.parent.name}/{path.name} is not valid JSON: {error}") from error


def _format(value: Any, indent: int, outermost: bool = False) -> str:
    flat = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, (dict, list)) or not value:
        return flat
    if not outermost and indent + len(flat) <= WIDTH and not _holds_objects(value):
        return flat
    margin = " " * (indent + _INDENT)
    if isinstance(value, dict):
        lines = [f"{margin}{json.dumps(key)}: {_format(item, indent + _INDENT)}" for key, item in value.items()]
        opening, closing = "{}"
    else:
        lines = [margin + _format(item, indent + _INDENT) for item in value]
        opening, closing = "[]"
    return f"{opening}\n" + ",\n".join(lines) + f"\n{' ' * indent}{closing}"


def _holds_objects(value: dict | list) -> bool:
    """Whether a list holds several objects, or an object holds such a list: one line each reads better."""
    if isinstance(value, list):
        return len(value) > 1 and any(isinstance(item, dict) for item in value)
    return any(_holds_objects(item) for item in value.values() if isinstance(item, (dict, list)))
