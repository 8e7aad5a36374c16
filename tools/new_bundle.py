"""Start the recipe of a new bundle from one of the same kind.

    python tools/new_bundle.py kidney_stone_ct_segmentation --like abdominal_organ_ct_segmentation

The new recipe has the fragments and the settings of the other. Everything that is said of its data, its classes and its
results is replaced by a reminder, and the contract counts every reminder that is left as a breach.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from lvm_med_monai.bundles.contract import ENDINGS, REMINDER
from lvm_med_monai.bundles.json_text import json_text, read_json

ROOT = Path(__file__).resolve().parent.parent
PUBLISHED = ("paper.json", "data_license.txt")
"""Sections about published work on other data, which the new recipe does not take over."""
NAMES = ("data_source", "data", "output", "score")
"""Texts that are facts even where they are a single word."""
FACTS = ("README.md", "metadata.json")
"""Sections that state facts."""


def start(name: str, like: str, root: Path = ROOT) -> Path:
    """Write ``recipes/<name>.json`` and return its path.

    Raises:
        FileExistsError: there is such a recipe or bundle.
        FileNotFoundError: ``like`` has no recipe.
        ValueError: the name has another task than ``like``, or none.
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
    sections = {key: value for key, value in read_json(model).items() if key not in PUBLISHED}
    for key in FACTS:
        sections[key] = _reminders(sections[key], key)
    recipe.write_text(json_text(sections), encoding="utf-8")
    return recipe


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
