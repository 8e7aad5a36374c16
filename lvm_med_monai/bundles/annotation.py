"""What MONAI Label and MONAI Deploy need of the transforms around a network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lvm_med_monai.bundles.transforms_of import names_of, transforms_of

_OUTSIDE = ("bundle_root", "dataset_dir", "ckpt_path")


def transform_violations(bundle: Path, configs: dict[str, Any]) -> Iterator[str]:
    """Breaches in ``inference.json`` of a bundle that annotators or a scanner's network call."""
    inference = configs["inference.json"]
    for part in ("preprocessing", "postprocessing", "inferer"):
        if part not in inference:
            yield f"inference.json lacks {part}: the apps would go on without one"
            return
        reached = [name for name in _OUTSIDE if name in str(inference[part])]
        if reached:
            yield f"{part} reads {', '.join(reached)}: the apps run it in another folder"
    before, after = (transforms_of(inference[part], inference) for part in ("preprocessing", "postprocessing"))
    yield from _before(names_of(before), before)
    yield from _after(bundle.name, names_of(after), after)


def _before(names: list[str], transforms: list[dict[str, Any]]) -> Iterator[str]:
    if names[:1] != ["LoadImaged"]:
        yield "preprocessing must start with LoadImaged, which the apps take out or wrap"
    if "EnsureChannelFirstd" not in names:
        yield "preprocessing needs EnsureChannelFirstd: MONAI Deploy hands over arrays without a channel"
    if names[-1:] != ["EnsureTyped"]:
        yield "preprocessing must end with EnsureTyped, so that the network gets floats"
    if "Spacingd" in names:
        place = names.index("Spacingd")
        if "DeleteItemsd" not in names[:place] or "CopyItemsd" not in names[place:]:
            yield "Spacingd fails on MONAI Label's image_path: move that key away before and back after it"


def _after(bundle: str, names: list[str], transforms: list[dict[str, Any]]) -> Iterator[str]:
    if bundle.endswith("_segmentation"):
        discrete = [i for i, item in enumerate(transforms) if item.get("argmax") or "threshold" in item]
        if "Invertd" not in names or not discrete or names.index("Invertd") > discrete[0]:
            yield "postprocessing must bring probabilities back by Invertd before it makes them labels"
        if "SaveImaged" not in names or "CastToTyped" not in names[names.index("SaveImaged") :]:
            yield "postprocessing must cast the mask to uint8 after SaveImaged, which MONAI Label takes out"
    if bundle.endswith("_classification") and "DeleteItemsd" not in names:
        yield "postprocessing must delete image_meta_dict, on which MONAI Label's Restored fails for scores"
