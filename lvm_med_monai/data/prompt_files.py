"""Folders of images with a file of prompts, for segmenting many by one command."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lvm_med_monai.data.datalist import paths_in
from lvm_med_monai.data.pictures import check_channels, list_inputs
from lvm_med_monai.data.sample_checks import mapped_mask

PROMPTS = "prompts.json"
KEYS = ("foreground", "background", "box", "roi", "slice")
_logger = logging.getLogger(__name__)


def read_prompted(folder: str | Path) -> list[dict[str, Any]]:
    """The images of a folder, each with its prompts.

    ``prompts.json`` in the folder maps names of files (or of folders with DICOM files) to prompts as `AddPromptsd`
    takes them, in voxels of the file: ``{"a.png": {"box": [10, 20, 80, 90]}, "b.nii.gz": {"foreground": [[40, 52,
    17]]}}``. An image that it does not name has no prompts, and nothing is segmented in it.

    Returns:
        Items with ``image``, ``name`` and the keys of its prompts.

    Raises:
        FileNotFoundError: there is no folder, no image in it, or no ``prompts.json``.
        ValueError: the file is no JSON object, names an image that is not there, or a key that no prompt has.
    """
    root = Path(folder)
    items = list_inputs(root)
    path = root / PROMPTS
    if not path.is_file():
        raise FileNotFoundError(
            f'no {PROMPTS} in {root}: write one such as {{"{items[0]["name"]}": {{"box": [x0, y0, x1, y1]}}}}'
        )
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{PROMPTS} is no JSON: {error}") from error
    if not isinstance(given, dict) or not all(isinstance(value, dict) for value in given.values()):
        raise ValueError(f"{PROMPTS} must map names of files to prompts")
    absent = sorted(given.keys() - {item["name"] for item in items})
    if absent:
        raise ValueError(f"{PROMPTS} names {', '.join(absent[:5])}, which {root} does not hold")
    for name, prompts in given.items():
        unknown = sorted(prompts.keys() - set(KEYS))
        if unknown:
            raise ValueError(f"{PROMPTS} gives {name} {', '.join(unknown)}: prompts are {', '.join(KEYS)}")
    without = [item["name"] for item in items if item["name"] not in given]
    if without:
        _logger.warning(
            "%d images without prompts, in which nothing is segmented, such as %s", len(without), without[0]
        )
    return [{**item, **given.get(item["name"], {})} for item in items]


def check_objects(
    entries: Sequence[dict[str, Any]],
    mask_values: Callable[[Mapping[Any, Any]], dict[Any, Any]],
    target: str | int = "each",
    enabled: bool = True,
) -> int:
    """Make sure that every entry of a datalist has a mask with something to point at; images by their headers.

    Args:
        entries: with ``image`` and ``label``.
        mask_values: what becomes of the stored values, such as `transforms.MergeMasksd` of the key ``label``.
        target: of `transforms.AddMaskPromptsd`; a number must be a value of some mask.
        enabled: False to trust the data, such as in later runs.

    Returns:
        Number of entries.

    Raises:
        ValueError: an entry has no mask, its mask is empty, no mask holds ``target``, or an image has four channels.
    """
    if not enabled:
        return len(entries)
    held: set[int] = set()
    for entry in entries:
        name = Path(str(entry["image"])).name
        if not paths_in(entry, "label"):
            raise ValueError(f"{name} has no mask: add a label, or leave the entry out")
        for path in paths_in(entry, "image"):
            check_channels(path)
        values = mapped_mask(entry["label"], mask_values)
        if not values.any():
            raise ValueError(f"the mask of {name} is empty, so nothing can be pointed at: leave the entry out")
        held.update(values.unique().int().tolist())
    if not isinstance(target, str) and target not in held:
        raise ValueError(
            f"none of {len(entries)} masks holds the target {target}, they hold {sorted(held - {0})}: correct target, "
            "or map stored values by mask_values"
        )
    return len(entries)
