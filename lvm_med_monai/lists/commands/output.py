"""How commands are declared and print what they found."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def add_command(commands: Any, name: str, help_line: str, description: str, epilog: str) -> argparse.ArgumentParser:
    """A parser whose description and examples stay as they are written."""
    raw = argparse.RawDescriptionHelpFormatter
    return commands.add_parser(name, help=help_line, description=description, epilog=epilog, formatter_class=raw)


def answer(fields: Mapping[str, Any], as_json: bool, lines: Iterable[str]) -> None:
    """Print fields as one JSON object, or lines of text."""
    print(json.dumps(fields) if as_json else "\n".join(lines))


def columns(rows: Sequence[Sequence[Any]], right: Sequence[int] = ()) -> list[str]:
    """Rows as lines with aligned columns, of which those in ``right`` are aligned to the right."""
    texts = [[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in texts) for i in range(len(texts[0]))] if texts else []
    return [
        "  ".join(
            t.rjust(w) if i in right else t.ljust(w) for i, (t, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in texts
    ]
