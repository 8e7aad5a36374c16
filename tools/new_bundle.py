"""Start the recipe of a new bundle from one of the same kind.

    python tools/new_bundle.py kidney_stone_ct_segmentation --like abdominal_organ_ct_segmentation

The new recipe has the fragments and the settings of the other, without published protocols and other variants for its
data. Everything that is said of its data, its classes and its results is replaced by a reminder, and the contract
counts every reminder that is left as a breach.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from lvm_med_monai.bundles.contract import ENDINGS, REMINDER
from lvm_med_monai.bundles.json_text import json_text, read_json

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = (
    "shared.json",
    "train.json",
    "evaluate.json",
    "inference.json",
    "multi_gpu_train.json",
    "demo.json",
    "shards.json",
)
"""Sections about how a kind of bundle runs. The others, but for `FACTS`, are about the other bundle's data."""
PUBLISHED = "paper"
"""Start of the names of fragments and configurations that repeat a published protocol."""
NAMES = ("data_source", "data", "output", "score")
"""Texts that are facts even where they are a single word."""
FACTS = ("README.md", "metadata.json")
"""Sections that state facts, the page first."""
_NAME = re.compile(r"`(\w+)`")


def start(name: str, like: str, root: Path = ROOT) -> Path:
    """Write ``recipes/<name>.json`` and return its path.

    Raises:
        FileExistsError: there is such a recipe or bundle.
        FileNotFoundError: ``like`` has no recipe.
        ValueError: the name has another task than ``like``, or none; or the fragments of ``like`` hold a protocol that
            was published for certain data.
    """
    recipe, model = (root / "recipes" / f"{each}.json" for each in (name, like))
    if recipe.exists() or (root / "bundles" / name).exists():
        raise FileExistsError(f"{name} exists: choose another name")
    if not model.is_file():
        known = sorted(path.stem for path in (root / "recipes").glob("*.json"))
        raise FileNotFoundError(f"{like} has no recipe: choose one of {', '.join(known)}")
    endings = [next((ending for ending in ENDINGS if each.endswith(ending)), None) for each in (name, like)]
    if endings[0] is None or endings[0] != endings[1]:
        raise ValueError(f"{name} must end with {endings[1]}, the task of {like}")
    source = read_json(model)
    fragments = [fragment for fragment in source["fragments"] if not fragment.startswith(PUBLISHED)]
    folders = [root / "recipes" / "fragments" / fragment for fragment in fragments]
    bound = sorted({path.parent.name for folder in folders for path in folder.glob(f"{PUBLISHED}*.json")})
    if bound:
        raise ValueError(
            f"no bundle can be like {like}: its fragment {', '.join(bound)} holds a protocol of certain data"
        )
    sections = {"fragments": fragments, **{key: value for key, value in source.items() if key in SETTINGS}}
    for key in FACTS:
        sections[key] = _reminders(source[key], key)
    names = {path.stem for folder in folders for path in folder.glob("*.json")}
    if "overlays" in sections[FACTS[0]]:
        sections[FACTS[0]]["overlays"] = _rows(source[FACTS[0]]["overlays"], names)
    recipe.write_text(json_text(sections), encoding="utf-8")
    return recipe


def _rows(table: str, overlays: set[str]) -> str:
    """Rows of a page's table for those of its overlays that the new bundle has too, or one to be replaced."""
    named = [name for line in table.splitlines() for name in _NAME.findall(line.split("|")[1]) if name in overlays]
    named = named or ["your_variant"]
    return "\n".join(f"| `{name}` | {REMINDER} what it changes; no row without the overlay |" for name in named)


def _reminders(value: Any, where: str) -> Any:
    """The same structure, every sentence replaced by a reminder that says where it stood."""
    if isinstance(value, dict):
        return {key: _reminders(item, key) for key, item in value.items()}
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value) and " " in " ".join(value):
        return [f"{REMINDER} {where}"]
    if isinstance(value, str) and value and (" " in value or where in NAMES):
        return f"{REMINDER} {where}"
    return value


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="anatomy or finding, modality and task, such as kidney_stone_ct_segmentation")
    parser.add_argument("--like", required=True, metavar="BUNDLE", help="bundle of the same kind that has a recipe")
    options = parser.parse_args()
    try:
        recipe = start(options.name, options.like)
    except (FileExistsError, FileNotFoundError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    reminders = json.dumps(read_json(recipe)).count(REMINDER)
    print(f"wrote {recipe.relative_to(ROOT)} with {reminders} reminders; then:")
    print(f"  python -m lvm_med_monai.bundles render {options.name}")
    print(f"  python -m lvm_med_monai.bundles check bundles/{options.name}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
