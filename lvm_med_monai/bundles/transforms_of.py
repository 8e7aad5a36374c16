"""Transforms as they stand in a configuration."""

from __future__ import annotations

from typing import Any


def transforms_of(section: Any) -> list[dict[str, Any]]:
    """The objects of a ``Compose`` or of a list of transforms, in order; references are left out."""
    items = section.get("transforms", [section]) if isinstance(section, dict) else section
    return [item for item in items if isinstance(item, dict)]


def names_of(transforms: list[dict[str, Any]]) -> list[str]:
    """Class names, without modules."""
    return [str(item.get("_target_", "")).rpartition(".")[2] for item in transforms]
