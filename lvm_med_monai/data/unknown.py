"""What counts as not known, in datalists, manifests and labels."""

from __future__ import annotations

from typing import Any

UNKNOWN = -1
"""Number of a label, finding or patient that is not known; losses and metrics leave it out."""


def is_known(value: Any) -> bool:
    """Whether a field of a datalist or a manifest says something: None and text of nothing but spaces do not."""
    return value is not None and bool(str(value).strip())
