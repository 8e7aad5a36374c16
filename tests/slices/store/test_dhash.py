from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, strategies as st

from lvm_med_monai.slices.store.dhash import difference_hash, hamming
from lvm_med_monai.slices.windows import Window

WINDOW = Window(0, 255)


def by_hand(pixels: np.ndarray) -> str:
    """The same from its definition: means of 8 x 9 areas, compared from left to right."""
    rows = np.array_split(pixels, 8, axis=0)
    means = [[area.mean() for area in np.array_split(row, 9, axis=1)] for row in rows]
    bits = "".join("1" if left > right else "0" for row in means for left, right in pairwise(row))
    return f"{int(bits, 2):016x}"


def test_means_of_equal_areas() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 63)).astype(np.int16)
    assert difference_hash(pixels, WINDOW) == by_hand(pixels)


def test_known_pictures() -> None:
    ramp = np.tile(np.arange(90, dtype=np.int16), (80, 1))
    assert difference_hash(ramp, WINDOW) == "0" * 16
    assert difference_hash(ramp[:, ::-1], WINDOW) == "f" * 16
    half = np.concatenate([ramp[:40], ramp[:40, ::-1]])
    assert difference_hash(half, WINDOW) == "0" * 8 + "f" * 8


@pytest.mark.parametrize("shape", [(1, 1), (3, 4), (7, 8), (9, 100), (100, 5), (600, 700)])
def test_any_size(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.int16)
    assert len(difference_hash(pixels, WINDOW)) == 16
    assert difference_hash(np.zeros(shape, np.int16), WINDOW) == "0" * 16


def test_noise_changes_little_and_content_much() -> None:
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:512, :512]
    first, second = (100 + 80 * np.sin(y / a) * np.cos(x / b) for a, b in ((40, 70), (90, 31)))
    noisy = first + generator.normal(0, 4, first.shape)
    same = hamming(difference_hash(first, WINDOW), difference_hash(noisy, WINDOW))
    assert same <= 4 < hamming(difference_hash(first, WINDOW), difference_hash(second, WINDOW))


def test_window_matters() -> None:
    """Differences outside of the window do not count."""
    ramp = np.tile(np.arange(90, dtype=np.int16)[::-1], (80, 1)) - 2000
    assert difference_hash(ramp, WINDOW) == "0" * 16
    assert difference_hash(ramp, Window(-2000, -1900)) == "f" * 16


def test_colour_counts_as_luma() -> None:
    green = np.zeros((80, 90, 3), np.uint8)
    green[..., 1] = np.arange(90)[::-1]
    assert difference_hash(green, WINDOW) == "f" * 16
    green[..., 2] = np.arange(90)  # blue runs the other way, and weighs less
    assert difference_hash(green, WINDOW) == "f" * 16


def test_type_and_order_in_memory_do_not_matter() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (70, 95)).astype(np.int16)
    expected = difference_hash(pixels, WINDOW)
    for other in (pixels.astype(np.float32), pixels.astype(np.int32), np.asfortranarray(pixels), pixels.astype(">i2")):
        assert difference_hash(other, WINDOW) == expected


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_hamming(a: int, b: int) -> None:
    assert hamming(f"{a:016x}", f"{b:016x}") == sum((a >> i & 1) != (b >> i & 1) for i in range(64))
