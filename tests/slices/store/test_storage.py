from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lvm_med_monai.slices.histogram import Histogram
from lvm_med_monai.slices.stack import Stack
from lvm_med_monai.slices.store.shards import store
from lvm_med_monai.slices.store.storage import PRESETS, Storage, stored_window
from lvm_med_monai.slices.windows import CT_WINDOWS, Window, default_window
from tests.slices.test_selection import stack_of

EIGHT = Storage(bits=8)


def chest(slices: int = 12, size: int = 128) -> np.ndarray:
    """CT-like volume in HU: air, fat, organs and bone with noise, and the -2000 outside of the field of view."""
    generator = np.random.default_rng(0)
    z, y, x = np.mgrid[:slices, :size, :size]
    radius = np.hypot(y - size / 2, x - size / 2)
    volume = np.where(radius < size * 0.4, 30 + 60 * np.sin(x / 9) * np.cos(y / 7 + z), -1000)
    volume = np.where(radius < size * 0.08, 900, volume)
    volume = np.where((radius > size * 0.36) & (radius < size * 0.4), -100, volume)
    volume = volume + generator.normal(0, 12, volume.shape)
    return np.where(radius > size * 0.5, -2000, np.rint(volume)).astype(np.int16)


def brain(slices: int = 12, size: int = 128) -> np.ndarray:
    """MR-like volume: a noisy background, tissue of all intensities, and a few bright vessels."""
    generator = np.random.default_rng(0)
    z, y, x = np.mgrid[:slices, :size, :size]
    radius = np.hypot(y - size / 2, x - size / 2)
    volume = np.where(radius < size * 0.4, 500 + 300 * np.sin(x / 19) * np.cos(y / 17 + z), 0)
    volume = np.where(radius < size * 0.02, 4000, volume)
    return np.abs(np.rint(volume + generator.normal(0, 12, volume.shape))).astype(np.int16)


def published_script(volume: np.ndarray) -> np.ndarray:
    """8-bit values of LVM-Med's MMWHS script: percentiles of the volume, z-score, divided by 10, clipped, times 255."""
    low, high = np.percentile(volume, [0.5, 99.5])
    clipped = np.clip(volume.astype(np.float64), low, high)
    scored = (clipped - clipped.mean()) / clipped.std() / 10
    return (np.clip(scored, 0, 1) * 255).astype(np.uint8)


@pytest.mark.parametrize(("units", "modality", "volume"), [("HU", "CT", chest()), ("raw", "MR", brain())])
def test_twice_the_grey_levels_of_the_published_script(units: str, modality: str, volume: np.ndarray) -> None:
    stack = stack_of(volume, units=units, modality=modality)
    window = stored_window(stack, EIGHT, Histogram.of(volume))
    levels = {level for frame in volume for level in np.unique(store(frame, EIGHT, window).pixels)}
    theirs = len(np.unique(published_script(volume)))
    assert len(levels) >= 2 * theirs
    assert len(levels) >= 150


def test_ct_in_8_bits_maps_back_to_hu() -> None:
    frame = chest()[5]
    stored = store(frame, EIGHT, CT_WINDOWS["soft"])
    assert stored.pixels.dtype == np.uint8
    assert not stored.exact
    values = stored.pixels * stored.scale + stored.intercept
    inside = (frame >= -160) & (frame <= 240)
    assert np.abs(values - frame)[inside].max() <= 400 / 255 / 2 + 1e-4
    assert (values[frame < -160] == -160).all()
    assert np.allclose(values[frame > 240], 240)


def test_8_bits_of_8_bits_change_nothing() -> None:
    frame = np.arange(256, dtype=np.int16).reshape(16, 16)
    stored = store(frame, EIGHT, Window(0, 255))
    assert np.array_equal(stored.pixels, frame)
    assert (stored.scale, stored.intercept, stored.exact) == (1, 0, True)
    assert not store(frame + 1, EIGHT, Window(0, 255)).exact


def test_8_bits_need_a_window() -> None:
    with pytest.raises(ValueError, match="needs the window"):
        store(np.eye(4), EIGHT)


GREY = np.arange(12 * 40 * 44).reshape(12, 40, 44).astype(np.int32)
BRIGHT = np.where(GREY % 4 == 0, 0, GREY)  # a quarter is background
PERCENTILES = {
    "mr": tuple(np.percentile(BRIGHT[BRIGHT > 0], [0.5, 99.5], method="inverted_cdf")),
    "display": tuple(np.percentile(BRIGHT, [0.1, 99.9], method="inverted_cdf")),
}
SHOWN = {"units": "display", "display_range": (100.0, 900.0)}


@pytest.mark.parametrize(
    ("fields", "preset", "bounds"),
    [
        ({"units": "HU", "modality": "CT"}, None, (-160, 240)),
        ({"units": "HU", "modality": "CT"}, "ct", (-160, 240)),
        ({"units": "HU", "modality": "CT"}, "soft", (-160, 240)),
        ({"units": "HU", "modality": "CT"}, "lung", (-1350, 150)),
        ({"units": "HU", "modality": "CT"}, "bone", (-500, 1300)),
        ({"units": "HU", "modality": "CT"}, "wide", (-1024, 1500)),
        ({"units": "HU", "modality": "CT"}, "mr", PERCENTILES["mr"]),
        ({"units": "raw", "modality": "CT"}, None, PERCENTILES["mr"]),  # a CT without rescale
        ({"units": "raw", "modality": "CT"}, "lung", PERCENTILES["mr"]),
        ({"units": "raw", "modality": "MR"}, None, PERCENTILES["mr"]),
        ({"units": "raw", "modality": "MR"}, "ct", PERCENTILES["mr"]),
        ({"units": "raw", "modality": "PT"}, None, PERCENTILES["mr"]),
        ({"units": "display", "modality": "DX"}, None, PERCENTILES["display"]),
        ({**SHOWN, "modality": "DX"}, None, (100, 900)),
        ({**SHOWN, "modality": "MG"}, "xray", (100, 900)),
        ({**SHOWN, "modality": "unknown"}, None, (100, 900)),
        ({"units": "display", "modality": "unknown"}, None, PERCENTILES["display"]),
        ({"units": "display", "modality": "US"}, None, PERCENTILES["display"]),
        ({"units": "raw", "modality": "MR"}, "xray", PERCENTILES["display"]),
    ],
    ids=str,
)
def test_windows_of_8_bits(fields: dict[str, Any], preset: str | None, bounds: tuple[float, float]) -> None:
    stack = stack_of(BRIGHT, **fields)
    window = stored_window(stack, Storage(bits=8, preset=preset))
    assert (window.lower, window.upper) == pytest.approx(bounds)
    assert stored_window(stack, Storage(bits=8, preset=preset), Histogram.of(BRIGHT)) == window
    assert stored_window(stack, Storage()) == default_window(stack)


@pytest.mark.parametrize("preset", [None, "ultrasound", "colour"])
def test_ultrasound_stays_as_it_is(preset: str | None) -> None:
    frames = (BRIGHT % 200).astype(np.int16)
    stack = stack_of(frames, units="display", modality="US")
    window = stored_window(stack, Storage(bits=8, preset=preset))
    assert window == Window(0, 255)
    assert np.array_equal(store(frames[3], EIGHT, window).pixels, frames[3])


def test_colour_stays_as_it_is() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 40, 44, 3), dtype=np.uint8)
    stack: Stack = stack_of(frames, units="display", modality="CT")
    for preset in (None, *PRESETS):
        assert stored_window(stack, Storage(bits=8, preset=preset)) == Window(0, 255)
    assert np.array_equal(store(frames[0], EIGHT).pixels, frames[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"codec": "jpeg"}, "there is no codec jpeg; choose png, jxl, htj2k, blosc2"),
        ({"bits": 12}, "16 or 8 bits, got 12"),
        ({"bits": 8, "preset": "brain"}, "no preset brain; choose ct, soft"),
        ({"preset": "ct"}, "reduces to 8 bits"),
    ],
)
def test_impossible_storage(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Storage(**arguments)
