"""The fields of ``metadata.json`` that MONAI's specification of bundles names, and what they hold.

After MONAI's metadata schema of 2024-07-25; a bundle may have further fields.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Kinds = tuple[type, ...]
_NUMBER: Kinds = (int, float)
REQUIRED: dict[str, Kinds] = {
    "schema": (str,),
    "version": (str,),
    "changelog": (dict,),
    "monai_version": (str,),
    "pytorch_version": (str,),
    "numpy_version": (str,),
    "required_packages_version": (dict,),
    "task": (str,),
    "description": (str,),
    "authors": (str,),
    "copyright": (str,),
    "network_data_format": (dict,),
}
"""``changelog`` is required by this collection, the rest by the schema."""
OPTIONAL: dict[str, Kinds] = {
    "data_source": (str,),
    "data_type": (str,),
    "image_classes": (str,),
    "label_classes": (str,),
    "pred_classes": (str,),
    "eval_metrics": (dict,),
    "intended_use": (str,),
    "references": (list,),
    "supported_apps": (dict,),
}
TENSOR_REQUIRED: dict[str, Kinds] = {
    "type": (str,),
    "format": (str,),
    "num_channels": (int,),
    "spatial_shape": (list,),
    "dtype": (str,),
    "value_range": (list,),
}
TENSOR_OPTIONAL: dict[str, Kinds] = {"is_patch_data": (bool,), "channel_def": (dict,)}
ITEMS: dict[str, Kinds] = {"references": (str,), "spatial_shape": (str, int), "value_range": _NUMBER}
"""What the lists hold."""
_WORDS = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}


def field_violations(metadata: Mapping[str, Any]) -> Iterator[str]:
    """Absent fields and fields of another kind, one sentence each."""
    yield from _of_object(metadata, REQUIRED, OPTIONAL, "metadata.json")
    tensors = metadata.get("network_data_format")
    if not isinstance(tensors, dict):
        return
    yield from _of_object(tensors, {"inputs": (dict,), "outputs": (dict,)}, {}, "network_data_format")
    for side in ("inputs", "outputs"):
        members = tensors.get(side)
        for name, tensor in members.items() if isinstance(members, dict) else ():
            if isinstance(tensor, dict):
                yield from _of_object(tensor, TENSOR_REQUIRED, TENSOR_OPTIONAL, f"{side}::{name}")
            else:
                yield f"{side}::{name} must be an object that describes a tensor"


def _of_object(
    item: Mapping[str, Any], required: Mapping[str, Kinds], optional: Mapping[str, Kinds], where: str
) -> Iterator[str]:
    absent = [name for name in required if name not in item]
    if absent:
        yield f"{where} lacks {', '.join(absent)}"
    for name, kinds in {**required, **optional}.items():
        if name not in item:
            continue
        if not _is(item[name], kinds):
            yield f"{where}: {name} must be {_in_words(kinds)}, not {item[name]!r}"
        elif name in ITEMS and not all(_is(value, ITEMS[name]) for value in item[name]):
            yield f"{where}: {name} must hold {_in_words(ITEMS[name])} only, not {item[name]!r}"


def _is(value: Any, kinds: Kinds) -> bool:
    """Whether JSON's value is of a kind; true and false are no numbers there."""
    return isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))


def _in_words(kinds: Kinds) -> str:
    return " or ".join(dict.fromkeys(_WORDS[kind] for kind in kinds if not (kind is int and float in kinds)))
