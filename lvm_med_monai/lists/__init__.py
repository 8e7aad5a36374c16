"""Data set lists: cards of public collections, checks of downloads, datalists, overlap with the pretraining, mixes.

Names are imported when they are first used, so that the command line answers at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lvm_med_monai.lists.card_files import find_card, load_cards
    from lvm_med_monai.lists.cards import Card
    from lvm_med_monai.lists.completeness import Check, check
    from lvm_med_monai.lists.datalists import Datalist, make_datalist
    from lvm_med_monai.lists.duplicates import Duplicates, find_duplicates
    from lvm_med_monai.lists.extraction import extract_card
    from lvm_med_monai.lists.mix import Mix, make_mix
    from lvm_med_monai.lists.mix_file import read_mix, write_mix
    from lvm_med_monai.lists.mixed_slices import MixBatchSampler, MixedSlices
    from lvm_med_monai.lists.official import Official, read_official
    from lvm_med_monai.lists.overlap import Overlap, find_overlap
    from lvm_med_monai.lists.partition import Partition, divide

_MODULES = {
    "Card": "cards",
    "Check": "completeness",
    "Datalist": "datalists",
    "Duplicates": "duplicates",
    "Mix": "mix",
    "MixBatchSampler": "mixed_slices",
    "MixedSlices": "mixed_slices",
    "Official": "official",
    "Overlap": "overlap",
    "Partition": "partition",
    "check": "completeness",
    "divide": "partition",
    "extract_card": "extraction",
    "find_card": "card_files",
    "find_duplicates": "duplicates",
    "find_overlap": "overlap",
    "load_cards": "card_files",
    "make_datalist": "datalists",
    "make_mix": "mix",
    "read_mix": "mix_file",
    "read_official": "official",
    "write_mix": "mix_file",
}

__all__ = [
    "Card",
    "Check",
    "Datalist",
    "Duplicates",
    "Mix",
    "MixBatchSampler",
    "MixedSlices",
    "Official",
    "Overlap",
    "Partition",
    "check",
    "divide",
    "extract_card",
    "find_card",
    "find_duplicates",
    "find_overlap",
    "load_cards",
    "make_datalist",
    "make_mix",
    "read_mix",
    "read_official",
    "write_mix",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
