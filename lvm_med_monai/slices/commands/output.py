"""How commands print what they did."""

from __future__ import annotations

import json
from typing import Any


def print_fields(fields: dict[str, Any], as_json: bool) -> None:
    """Print fields as one JSON object, or a line each."""
    print(json.dumps(fields) if as_json else "\n".join(f"{name:18} {value}" for name, value in fields.items()))
