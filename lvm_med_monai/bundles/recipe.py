"""A recipe and its fragments become the files of one bundle."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

from monai.bundle import ConfigParser
from monai.bundle.utils import merge_kv

from lvm_med_monai.bundles.json_text import json_text, read_json

SHARED = "shared.json"
"""Section that is merged into both files of `SHARING`, before their own."""
SHARING = ("train.json", "inference.json")
MERGED = (*SHARING, "metadata.json")
"""Files that are complete after merging. The others are overlays, whose keys speak to the file they are laid on."""
README = "README.md"
DATA_LICENCE = "data_license.txt"
LOGGING = "logging.conf"
_FIRST = (
    "imports",
    "bundle_root",
    "dataset_dir",
    "run_dir",
    "output_dir",
    "ckpt_path",
    "device",
    "seed",
)
"""Ids that open a configuration file, whichever fragment brought them."""
_LINE = 130


def render(recipe: Path, root: Path) -> dict[str, str]:
    """Files of the bundle that a recipe describes, without writing them.

    A recipe is ``{"fragments": [names], "train.json": {...}, "README.md": {...}, ...}``. A configuration is MONAI's
    merge of the file of that name of every fragment, in their order, and the recipe's own section: ``a::b`` sets one
    leaf, ``+a`` extends, the last value wins. ``docs/README.md`` is the last fragment's template filled with the
    recipe's values; a list becomes bullet points.

    Args:
        recipe: ``recipes/<bundle>.json``.
        root: repository: fragments are folders of ``recipes/fragments``.

    Returns:
        Text of each file, by its path inside the bundle.

    Raises:
        FileNotFoundError: a fragment does not exist.
        ValueError: a file is no JSON, the recipe names no fragments, repeats a value of them, has a section without
            meaning, or leaves a placeholder of the template open; or a file that every bundle has comes from nowhere.
    """
    sections = read_json(recipe)
    _check_form(sections, recipe.name)
    folders = [root / "recipes" / "fragments" / name for name in sections.pop("fragments")]
    for folder in folders:
        if not folder.is_dir():
            raise FileNotFoundError(f"{recipe.name} names the fragment {folder.name}, which recipes/fragments has not")
    values = sections.pop(README, {})
    licence = sections.pop(DATA_LICENCE, None)
    unknown = [name for name in sections if not name.endswith(".json")]
    if unknown:
        raise ValueError(f"{recipe.name} has the sections {unknown}: expected *.json, {README} or {DATA_LICENCE}")
    names = sorted({path.name for folder in folders for path in folder.glob("*.json")} | sections.keys())
    configs = {name: _compose(name, folders, sections, recipe.name) for name in names if name != SHARED}
    absent = [name for name in MERGED if name not in configs]
    if absent:
        raise ValueError(f"neither {recipe.name} nor one of its fragments has {', '.join(absent)}")
    files = {f"configs/{name}": json_text(config) for name, config in configs.items()}
    files[f"configs/{LOGGING}"] = _last(folders, LOGGING).read_text(encoding="utf-8")
    files["LICENSE"] = (root / "LICENSE").read_text(encoding="utf-8")
    metadata = {key: value for key, value in configs["metadata.json"].items() if isinstance(value, str)}
    files[f"docs/{README}"] = _fill(_last(folders, README), values, metadata, recipe.name)
    if licence is not None:
        files[f"docs/{DATA_LICENCE}"] = _wrap(licence) + "\n"
    return files


def _check_form(sections: Any, recipe: str) -> None:
    """Make sure that a recipe is an object of objects that names its fragments.

    Raises:
        ValueError: it is not.
    """
    fragments = sections.get("fragments") if isinstance(sections, dict) else None
    if not isinstance(fragments, list) or not fragments or not all(isinstance(name, str) for name in fragments):
        raise ValueError(f"{recipe} names no fragments: give a list of folders of recipes/fragments under 'fragments'")
    odd = [
        name for name, section in sections.items() if name.endswith((".json", README)) and not isinstance(section, dict)
    ]
    if odd:
        raise ValueError(f"{recipe}: {', '.join(odd)} must be objects")


def _compose(name: str, folders: list[Path], sections: Mapping[str, Any], recipe: str) -> dict[str, Any]:
    """One configuration: the layers of the fragments, then the recipe's."""
    parts = [SHARED, name] if name in SHARING else [name]
    merged = ConfigParser(config={}) if name in MERGED else {}
    for part in parts:
        for folder in folders:
            if (folder / part).is_file():
                _merge(merged, read_json(folder / part), f"fragment {folder.name}, {part}")
    for part in parts:
        own = sections.get(part, {})
        repeated = [key for key, value in own.items() if key in merged and merged[key] == value]
        if repeated:
            raise ValueError(f"{recipe}, {part} repeats what its fragments say of {repeated}: leave them out")
        _merge(merged, own, f"{recipe}, {part}")
    config = merged.get() if isinstance(merged, ConfigParser) else merged
    config.pop("_meta_", None)  # ConfigParser's own
    return {key: config[key] for key in sorted(config, key=lambda key: _FIRST.index(key) if key in _FIRST else 99)}


def _merge(into: ConfigParser | dict, layer: Mapping[str, Any], where: str) -> None:
    for key, value in layer.items():
        if isinstance(into, dict):
            into[key] = value
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # MONAI only warns when +key extends nothing
                merge_kv(into, key, value)
        except (KeyError, ValueError, UserWarning) as error:
            raise ValueError(f"{where}: cannot merge {key!r} ({error}): the parent must exist before it") from error


def _last(folders: list[Path], name: str) -> Path:
    """The file of the last fragment that has it."""
    found = [folder / name for folder in folders if (folder / name).is_file()]
    if not found:
        raise ValueError(f"none of the fragments {[folder.name for folder in folders]} has {name}")
    return found[-1]


def _fill(template: Path, values: Mapping[str, Any], metadata: Mapping[str, str], recipe: str) -> str:
    """A README from its template; metadata's strings can be named too."""
    form = Template(template.read_text(encoding="utf-8"))
    wanted = set(form.get_identifiers()) if hasattr(form, "get_identifiers") else _identifiers(form)
    unused = sorted(set(values) - wanted)
    missing = sorted(wanted - values.keys() - metadata.keys())
    if unused or missing:
        raise ValueError(f"{recipe}, {README}: values missing for {missing}, values that no placeholder takes {unused}")
    return form.substitute({**metadata, **{key: _text(value) for key, value in values.items()}})


def _identifiers(form: Template) -> set[str]:
    """Placeholders of a template, for Python before 3.11."""
    return {match["named"] or match["braced"] for match in form.pattern.finditer(form.template)} - {None}


def _text(value: str | list[str]) -> str:
    if isinstance(value, list):
        return "\n".join(textwrap.fill(f"- {item}", _LINE, subsequent_indent="  ", **_UNBROKEN) for item in value)
    return _wrap(value)


def _wrap(text: str) -> str:
    """Paragraphs in lines of one length; tables, code and lists as they are."""
    paragraphs = text.split("\n\n")
    prose = [not part.startswith(("|", "```", "-", " ")) and "\n" not in part for part in paragraphs]
    return "\n\n".join(
        textwrap.fill(part, _LINE, **_UNBROKEN) if plain else part
        for part, plain in zip(paragraphs, prose, strict=True)
    )


_UNBROKEN: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
