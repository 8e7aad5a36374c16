"""The README's table of bundles, from their metadata."""

from __future__ import annotations

from pathlib import Path

from lvm_med_monai.bundles.json_text import read_json

BEGIN, END = "<!-- bundles:begin -->", "<!-- bundles:end -->"


def bundles_in(folder: Path) -> list[Path]:
    """Bundles of a folder, sorted by name.

    Raises:
        FileNotFoundError: there is none.
    """
    found = sorted(path.parent.parent for path in folder.glob("*/configs/metadata.json"))
    if not found:
        raise FileNotFoundError(f"no bundles in {folder}: expected folders with configs/metadata.json")
    return found


def markdown_table(folder: Path, link: str = "bundles") -> str:
    """One row a bundle: name with a link to its page, task, data, and its overlays.

    Args:
        folder: holds the bundles.
        link: path to it from the page that shows the table.
    """
    rows = ["| bundle | task | data | overlays |", "|---|---|---|---|"]
    for bundle in bundles_in(folder):
        metadata = read_json(bundle / "configs" / "metadata.json")
        overlays = ", ".join(f"`{name}`" for name in overlays_of(bundle))
        page = f"[`{bundle.name}`]({link}/{bundle.name}/docs/README.md)"
        rows.append(f"| {page} | {metadata['task']} | {metadata['data_source']} | {overlays} |")
    return "\n".join(rows) + "\n"


def overlays_of(bundle: Path) -> list[str]:
    """Overlays that make a variant of the bundle, without ``.json``; those that every bundle has are left out."""
    every = {"train", "evaluate", "inference", "metadata", "multi_gpu_train", "demo"}
    return sorted(path.stem for path in (bundle / "configs").glob("*.json") if path.stem not in every)


def replace_table(page: str, table: str) -> str:
    """A page with the table between its two marks exchanged.

    Raises:
        ValueError: the page has not both marks.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no place for the table: expected the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{table}{END}{after}"
