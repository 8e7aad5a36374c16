from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays

from lvm_med_monai.slices.histogram import Histogram
from lvm_med_monai.slices.windows import CT_WINDOWS, Window, apply_window, percentile_window, to_uint8


def test_named_windows_in_hu() -> None:
    assert CT_WINDOWS["soft"] == Window(-160, 240)
    assert CT_WINDOWS["lung"] == Window(-1350, 150)
    assert CT_WINDOWS["bone"] == Window(-500, 1300)


def test_apply_window() -> None:
    values = np.array([-2000, -160, 40, 240, 3000], dtype=np.int16)
    assert apply_window(values, CT_WINDOWS["soft"]).tolist() == [0, 0, 0.5, 1, 1]
    assert apply_window(values, CT_WINDOWS["soft"]).dtype == np.float32
    assert to_uint8(values, CT_WINDOWS["soft"]).tolist() == [0, 0, 128, 255, 255]
    assert apply_window(np.array([np.nan, np.inf, -np.inf]), Window(0, 1)).tolist() == [0, 1, 0]


@given(
    arrays(
        st.sampled_from([np.uint8, np.int16, np.uint16, np.int32, np.float32]),
        st.integers(1, 30),
        elements=st.integers(0, 200),
    ),
    st.integers(-300, 200),
    st.integers(1, 600),
)
def test_to_uint8_is_the_rounded_window(array: np.ndarray, lower: int, width: int) -> None:
    exact = np.clip((array.astype(np.float64) - lower) / width, 0, 1) * 255
    assert np.abs(to_uint8(array, Window(lower, lower + width)) - exact).max() <= 0.5 + 1e-4
    assert np.abs(apply_window(array, Window(lower, lower + width)) * 255 - exact).max() <= 1e-4


def test_to_uint8_of_odd_values() -> None:
    assert to_uint8(np.array([np.nan, np.inf, -np.inf, 1e30, -1e30]), Window(0, 1)).tolist() == [0, 255, 0, 255, 0]
    assert to_uint8(np.array([2**31 - 1, -(2**31), 2**24 + 1]), Window(2**24, 2**24 + 2)).tolist() == [255, 0, 128]


@pytest.mark.parametrize("bounds", [(1, 1), (2, 1), (0, np.inf), (np.nan, 1)])
def test_impossible_window(bounds: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="lower < upper"):
        Window(*bounds)


@given(arrays(np.int16, st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 6))), st.floats(0, 100))
def test_percentile_of_integers_is_exact(array: np.ndarray, percent: float) -> None:
    expected = np.percentile(array, percent, method="inverted_cdf")
    assert Histogram.of(array).percentile(percent) == expected


def test_percentile_of_floats_is_within_a_bin() -> None:
    values = np.random.default_rng(0).normal(size=(3, 50, 50)).astype(np.float32)
    histogram = Histogram.of(values)
    assert abs(histogram.percentile(99.5) - np.percentile(values, 99.5)) < 0.02
    assert histogram.counts.sum() == values.size
    assert histogram.last == pytest.approx(values.max(), abs=histogram.step)
    assert Histogram.of(np.array([3, -2, 9])).last == 9


def test_percentile_of_the_foreground() -> None:
    array = np.array([0] * 90 + list(range(1, 11)))
    assert Histogram.of(array).percentile(50, above=0) == 5
    assert Histogram.of(array).percentile(50, above=99) == 0  # nothing is above: all count


@pytest.mark.parametrize(
    "array",
    [np.zeros((2, 3), np.int16), np.full((2, 3), 2.5, np.float32), np.full((2, 2), np.nan), np.zeros((0, 3), np.int16)],
)
def test_constant_images_have_a_window(array: np.ndarray) -> None:
    window = percentile_window(Histogram.of(array), (0.5, 99.5))
    assert window.upper == window.lower + 1


def test_wide_integers_are_binned() -> None:
    histogram = Histogram.of(np.array([-(2**30), 0, 2**30]))
    assert len(histogram.counts) < 1 << 20
    assert abs(histogram.percentile(50)) < 2**16


def test_otsu_separates_two_classes() -> None:
    generator = np.random.default_rng(0)
    dark, bright = generator.normal(100, 10, 5000), generator.normal(500, 20, 2000)
    threshold = Histogram.of(np.rint(np.concatenate([dark, bright])).astype(np.int32)).otsu()
    assert dark.max() - 2 < threshold < bright.min()
