"""Which ids the values of a configuration refer to, and whether they are there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from monai.bundle import ReferenceResolver


def strings(item: Any) -> Iterator[str]:
    """Every string inside a configuration; keys are not among them."""
    if isinstance(item, dict):
        item = list(item.values())
    if isinstance(item, list):
        for value in item:
            yield from strings(value)
    elif isinstance(item, str):
        yield item


def references_in(item: Any) -> set[str]:
    """Ids such as ``train::handlers`` that the strings of a value refer to, by MONAI's own pattern."""
    return {name for text in strings(item) for name in ReferenceResolver.match_refs_pattern(text)}


def top_of(name: str) -> str:
    """The top-level id that holds an id; of an overlay's key too, which may start with a plus."""
    return name.lstrip("+").partition("::")[0]


def unresolved(config: Mapping[str, Any]) -> list[str]:
    """Ids that a configuration refers to and does not have, sorted."""
    return sorted(name for name in references_in(dict(config)) if not _has(config, name))


def _has(config: Any, name: str) -> bool:
    for part in name.split("::"):
        if isinstance(config, Mapping) and part in config:
            config = config[part]
        elif isinstance(config, list) and part.isdecimal() and int(part) < len(config):
            config = config[int(part)]
        else:
            return False
    return True
