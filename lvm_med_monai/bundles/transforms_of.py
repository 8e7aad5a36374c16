"""Transforms as they stand in a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def transforms_of(section: Any, config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The objects of a ``Compose`` or of a list of transforms, in order.

    A reference to a top-level object counts as that object, or as its parts if it is a ``Compose``.
    """
    items = section.get("transforms", [section]) if isinstance(section, dict) else section
    found: list[dict[str, Any]] = []
    for item in items:
        named = config.get(item.removeprefix("@")) if isinstance(item, str) and item.startswith("@") else item
        if isinstance(named, dict):
            found.extend(transforms_of(named, config) if "transforms" in named else [named])
    return found


def names_of(transforms: list[dict[str, Any]]) -> list[str]:
    """Class names, without modules."""
    return [str(item.get("_target_", "")).rpartition(".")[2] for item in transforms]
