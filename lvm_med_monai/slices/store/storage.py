"""How slices are stored: the codec, 16 bits or 8, and in 8 bits the range of values that is kept."""

from __future__ import annotations

from dataclasses import dataclass

from lvm_med_monai.slices.histogram import Histogram
from lvm_med_monai.slices.stack import Stack
from lvm_med_monai.slices.store.codecs import CODECS
from lvm_med_monai.slices.windows import (
    CT_WINDOWS,
    DISPLAY_PERCENTILES,
    SERIES_PERCENTILES,
    Window,
    default_window,
    percentile_window,
)

EIGHT_BIT = Window(0.0, 255.0)
"""The window that leaves 8-bit values as they are."""
CT_PRESETS = {"ct": CT_WINDOWS["soft"], **CT_WINDOWS}
PRESETS = (*CT_PRESETS, "mr", "xray", "ultrasound", "colour")
"""Names of the ranges of 8-bit storage."""
BY_MODALITY = {
    "CT": "ct",
    "MR": "mr",
    **dict.fromkeys(("CR", "DX", "IO", "MG", "PX", "RF", "RG", "XA"), "xray"),
    **dict.fromkeys(("US", "IVUS"), "ultrasound"),
}
"""Preset of a modality; what is missing here goes by `default_window`."""


@dataclass(frozen=True)
class Storage:
    """How slices are stored.

    Attributes:
        codec: "png", "jxl", "htj2k" or "blosc2", all lossless.
        bits: 16 keeps integers of a 16-bit span exactly; 8 keeps 256 steps of the range that ``preset`` names, and
            clips what lies outside.
        preset: for 8 bits, one of `PRESETS`; None chooses by the modality of each stack. Presets of CT apply to stacks
            in HU only, others keep the choice by modality; colour is always stored as it is.

    Raises:
        ValueError: for a codec, number of bits or preset that is not known, or a preset without 8 bits.
    """

    codec: str = "png"
    bits: int = 16
    preset: str | None = None

    def __post_init__(self) -> None:
        if self.codec not in CODECS:
            raise ValueError(f"there is no codec {self.codec}; choose {', '.join(CODECS)}")
        if self.bits not in (8, 16):
            raise ValueError(f"slices are stored with 16 or 8 bits, got {self.bits}")
        if self.preset is not None and self.preset not in PRESETS:
            raise ValueError(f"there is no preset {self.preset}; choose {', '.join(PRESETS)}")
        if self.preset is not None and self.bits == 16:
            raise ValueError(
                f"preset {self.preset} reduces to 8 bits; 16 bits keep all values, so drop it or ask for 8"
            )


def stored_window(stack: Stack, storage: Storage, histogram: Histogram | None = None) -> Window:
    """The window of the manifest: the one a slice is shown with, and in 8 bits the range of values that is kept.

    Soft tissue (40/400) for CT, or another preset of CT; percentiles 0.5 to 99.5 of the foreground of the whole series
    for MR; what the file asks for, or percentiles 0.1 to 99.9, for X-ray; 0 to 255 for ultrasound and colour, whose
    values are stored as they are (percentiles 0.1 to 99.9 where ultrasound goes beyond 255).

    Args:
        stack: the series.
        storage: bits and preset.
        histogram: of all its pixels; read from the stack if it is needed and None.
    """
    if storage.bits == 16 or stack.channels == 3:
        return default_window(stack, histogram)
    preset = storage.preset
    if preset is None or (preset in CT_PRESETS and stack.units != "HU"):
        preset = BY_MODALITY.get(stack.modality, "")
    if preset in CT_PRESETS and stack.units == "HU":
        return CT_PRESETS[preset]
    if preset == "xray" and stack.display_range is not None:
        return Window(*stack.display_range)
    if preset not in ("mr", "xray", "ultrasound", "colour"):
        return default_window(stack, histogram)
    histogram = Histogram.of(stack.array()) if histogram is None else histogram
    if preset == "mr":
        return percentile_window(histogram, SERIES_PERCENTILES, above=histogram.first)
    if preset != "xray" and histogram.first >= 0 and histogram.last <= EIGHT_BIT.upper:
        return EIGHT_BIT
    return percentile_window(histogram, DISPLAY_PERCENTILES)
