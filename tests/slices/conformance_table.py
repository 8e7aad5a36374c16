"""Prints docs/conformance.md: `python -m tests.slices.conformance_table`."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.slices.conformance_cases import CASES
from tests.slices.conformance_readers import READERS, ours, theirs

HEADING = """# Conformance

Tricky DICOM series, written by factories with known truth (`tests/slices/conformance_cases.py`), and what readers make
of them. This page is written by

    python -m tests.slices.conformance_table > docs/conformance.md

| verdict | meaning |
|---|---|
| ok | exact values in the right order; for this package also exact places, flags and reasons of rejects |
| ok (reversed) | exact values with the last slice first, which is right with the reader's own affine |
| error | an exception: the whole series is lost |
| warned | wrong, but with a warning |
| WRONG ORDER, VALUES, SHAPE | wrong without a word |
| SILENT | returned one array, of the shape given, where slices are lost or several stacks are mixed, without a word |
| - | the reader takes single files only |

One array cannot say that a slice is missing, so on a series with a damaged file, or with several stacks, only an error
or a warning is a good answer of the other readers. Axes in another order are no fault.

The values are those that docs/slices.md describes: slope or table of each frame applied, a radiograph of MONOCHROME1
inverted, a VOI table applied in display modalities, padding set to background. A reader that returns padding or leaves
VOI tables to its user does not break the standard, but its pixels cannot be compared with those of other files. Bits on
top of the word (`high_bit_on_top`) come from old devices; the standard no longer allows them.
"""
OURS = "this package"


def rows() -> dict[str, list[str]]:
    """From each case to the verdicts: this package, then the others."""
    found = {}
    for name, make in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            truth = make(Path(folder))
            found[name] = [ours(Path(folder), truth)]
            found[name] += [theirs(read, Path(folder), truth) for read in READERS.values()]
    return found


def own_column(page: str) -> dict[str, str]:
    """From each case of the page to the verdict on this package."""
    cells = (line.strip("| ").split(" | ") for line in page.splitlines() if re.match(r"\| [a-z0-9_]+ \| ", line))
    return {row[0]: row[1] for row in cells if row[0] in CASES}


def table() -> str:
    """The page."""
    columns, found = [OURS, *READERS], rows()
    lines = ["| case | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    lines += [f"| {name} | " + " | ".join(verdicts) + " |" for name, verdicts in found.items()]
    totals = [Counter(_kind(verdicts[i]) for verdicts in found.values()) for i in range(len(columns))]
    lines += [
        f"| **{kind}** | " + " | ".join(str(total[kind]) for total in totals) + " |"
        for kind in ("right", "error or warned", "wrong without a word")
    ]
    return HEADING + f"\n{len(CASES)} series. \n\n".replace(" \n", "\n") + "\n".join(lines) + "\n"


def _kind(verdict: str) -> str:
    if verdict.startswith("ok"):
        return "right"
    return "error or warned" if verdict in ("error", "warned") else "" if verdict == "-" else "wrong without a word"


if __name__ == "__main__":
    page = sys.stdout
    sys.stdout = sys.stderr  # what libraries print is not part of the page
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"
    page.write(table())
