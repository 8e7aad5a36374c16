"""Pixels that are not finite."""

from __future__ import annotations

import numpy as np

from lvm_med_monai.slices.finite import finite


def test_they_have_the_lowest_finite_value() -> None:
    frame = np.array([[1, np.nan], [np.inf, -3], [-np.inf, 8]], dtype=np.float32)
    kept = frame.copy()
    fixed = finite(frame)
    assert fixed.tolist() == [[1, -3], [-3, -3], [-3, 8]]
    assert fixed.dtype == np.float32
    np.testing.assert_array_equal(frame, kept)


def test_a_slice_without_any_is_zero() -> None:
    assert finite(np.full((2, 2), np.nan)).tolist() == [[0, 0], [0, 0]]


def test_a_finite_slice_is_itself() -> None:
    frame = np.arange(4, dtype=np.int16)
    assert finite(frame) is frame
