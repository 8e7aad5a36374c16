"""How the segments of a DICOM SEG are named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

ANATOMY = ("123037004", "Anatomical Structure")
LESION = ("49755003", "Morphologically Altered Structure")
TISSUE = ("85756007", "Tissue")
"""SNOMED CT code and meaning of a property; this one for whatever has no code below."""
TYPES: dict[str, tuple[str, str]] = {
    "liver": ("10200004", "Liver"),
    "spleen": ("78961009", "Spleen"),
    "stomach": ("69695003", "Stomach"),
    "aorta": ("15825003", "Aorta"),
    "prostate": ("41216001", "Prostate"),
    "lung": ("39607008", "Lung"),
    "heart": ("80891009", "Heart"),
}
LESIONS: dict[str, tuple[str, str]] = {
    "tumour": ("108369006", "Neoplasm"),
    "tumor": ("108369006", "Neoplasm"),
    "lesion": ("52988006", "Lesion"),
    "polyp": ("41329004", "Polyp"),
}
"""Words in the name of a structure that is not normal anatomy."""


def segments_for(present: Sequence[int], given: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
    """One description for each value of a mask, in ascending order.

    MONAI Label takes the descriptions in turn for the values that are not empty: where the liver (1) is absent it calls
    the spleen (2) liver. Here value ``v`` gets the entry whose ``idx`` is ``v``, or else, if no entry has an ``idx``,
    the entry in place ``v``, counted from 1.

    Args:
        present: values of the mask other than 0.
        given: what a client sent: ``name``, and ``idx`` or not.

    Raises:
        ValueError: a value has no entry, or what was sent is no list of entries.
    """
    entries = given or []
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise ValueError("label_info must be a list of objects, with name and idx for each")
    by_value = {int(entry["idx"]): entry for entry in entries if entry.get("idx") is not None}
    if not by_value:
        by_value = dict(enumerate(entries, start=1))
    missing = [value for value in present if value not in by_value or not by_value[value].get("name")]
    if missing:
        raise ValueError(f"label_info names no segment for the mask's value {missing[0]}: give name and idx for each")
    return [{**by_value[value], "segmentAttribute": _attribute(value, by_value[value])} for value in sorted(present)]


def _attribute(value: int, entry: Mapping[str, Any]) -> dict[str, Any]:
    if "segmentAttribute" in entry:
        return {**entry["segmentAttribute"], "labelID": value}
    name = str(entry["name"])
    category, kind = codes_of(name)
    colour = list(entry.get("color") or _COLOURS[(value - 1) % len(_COLOURS)])[:3]
    return {
        "labelID": value,
        "SegmentLabel": name[:64],
        "SegmentDescription": name[:64],
        "SegmentAlgorithmType": "AUTOMATIC",
        "SegmentAlgorithmName": str(entry.get("model_name") or "MONAI Label")[:64],
        "SegmentedPropertyCategoryCodeSequence": _code(category),
        "SegmentedPropertyTypeCodeSequence": _code(kind),
        "recommendedDisplayRGBValue": [int(part) for part in colour],
    }


def codes_of(name: str) -> tuple[tuple[str, str], tuple[str, str]]:
    """Category and type of a structure: SNOMED CT code and meaning each, `TISSUE` if the name is not known."""
    plain = name.strip().lower().replace("_", " ")
    if plain in TYPES:
        return ANATOMY, TYPES[plain]
    for word, kind in LESIONS.items():
        if word in plain.split():
            return LESION, kind
    return ANATOMY, TISSUE


def _code(code: tuple[str, str]) -> dict[str, str]:
    value, meaning = code
    return {"CodeValue": value, "CodingSchemeDesignator": "SCT", "CodeMeaning": meaning}


_COLOURS = ((221, 130, 101), (157, 108, 162), (216, 132, 105), (224, 97, 76), (111, 184, 210), (144, 238, 144))
