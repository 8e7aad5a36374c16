from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays

from lvm_med_monai.slices.geometry import SliceGeometry
from lvm_med_monai.slices.histogram import Histogram
from lvm_med_monai.slices.selection import (
    Selection,
    SlicePolicy,
    foreground_threshold,
    is_flat,
    share_above,
    spaced_indices,
    tiles,
)
from lvm_med_monai.slices.stack import Stack
from lvm_med_monai.slices.store.dhash import difference_hash
from lvm_med_monai.slices.volumes.reformat import anisotropy, nearest_axis, reformat
from lvm_med_monai.slices.windows import CT_WINDOWS, Window


def stack_of(
    frames: np.ndarray, spacing: tuple[float, float, float] = (1, 1, 1), units: str = "raw", **changes: Any
) -> Stack:
    """An axial LPS stack; ``spacing`` is (z, y, x)."""
    geometry = SliceGeometry.from_affine(np.diag([spacing[2], spacing[1], spacing[0], 1.0]), len(frames))
    fields = {
        "read_frame": lambda i: frames[i],
        "geometry": geometry,
        "height": frames.shape[1],
        "width": frames.shape[2],
        "channels": 3 if frames.ndim == 4 else 1,
        "dtype": frames.dtype,
        "modality": "CT",
        "units": units,
        "source_format": "nifti",
        "sources": (),
        "frame_sources": (0,) * len(frames),
    }
    return Stack(**(fields | changes))


NOISE = np.random.default_rng(0).integers(0, 1000, (12, 40, 44)).astype(np.int16)


def select(stack: Stack, policy: SlicePolicy, tile: int | None = None) -> Selection:
    frames = stack.array()
    return Selection(stack, frames, policy, foreground_threshold(stack, Histogram.of(frames)), tile)


@pytest.mark.parametrize(
    ("z", "every", "kept"),
    [
        (1, 3, [0, 3, 6, 9]),
        (2, 3, [0, 2, 4, 6, 8, 10]),
        (1.001, 3, [0, 3, 6, 9]),
        (5, 3, list(range(12))),
        (1, 0, list(range(12))),
    ],
)
def test_every_mm(z: float, every: float, kept: list[int]) -> None:
    assert spaced_indices(stack_of(NOISE, (z, 1, 1)), every) == kept


def test_every_mm_without_geometry_keeps_all() -> None:
    assert len(spaced_indices(stack_of(NOISE, flags=frozenset({"no_geometry"})), 100)) == 12


def test_reasons_are_counted() -> None:
    frames = np.full((4, 40, 40), -1000, dtype=np.int16)
    frames[1, :4, :10] = np.arange(40).reshape(4, 10)  # 2.5 % foreground
    frames[2, :10, :20] = np.arange(200).reshape(10, 20)
    selection = select(stack_of(frames, (3, 1, 1), "HU"), SlicePolicy())
    assert [tile.slice_index for tile in selection] == [2]
    assert selection.dropped == {"flat": 2, "background": 1}
    assert selection.slice_reasons == {0: "flat", 1: "background", 3: "flat"}


def test_small() -> None:
    selection = select(stack_of(NOISE[:, :20]), SlicePolicy(every_mm=0))
    assert not list(selection)
    assert selection.dropped == {"small": 12}


@pytest.mark.parametrize(("edge", "count"), [(170, 9), (171, 4), (512, 1), (513, 1), (None, 1), (256, 4)])
def test_tiles(edge: int | None, count: int) -> None:
    frame = np.arange(512 * 512).reshape(512, 512)
    found = list(tiles(frame, edge))
    assert len(found) == count
    for row, column, pixels in found:
        assert np.array_equal(pixels, frame[row : row + pixels.shape[0], column : column + pixels.shape[1]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"planes": ("axail",)}, "planes must be some of"),
        ({"planes": ()}, "planes must be some of"),
        ({"every_mm": -1}, "must not be negative"),
        ({"min_foreground": 1.5}, "must not be negative"),
        ({"max_anisotropy": 0.5}, "at least 1"),
        ({"near_duplicates": -1}, "bits from 0 to 64, got -1"),
        ({"near_duplicates": 65}, "bits from 0 to 64, got 65"),
    ],
)
def test_impossible_policies(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SlicePolicy(**arguments)


def test_near_duplicates() -> None:
    """Slices 1 and 3 look like slice 0; slice 4 looks like slice 2, which is no neighbour."""
    generator = np.random.default_rng(0)
    first, other = (np.kron(generator.integers(0, 1000, (8, 9)), np.ones((8, 8), int)) for _ in range(2))
    frames = np.stack([first, first + 1, other, first, other]).astype(np.int16)
    stack = stack_of(frames)
    kept = select(stack, SlicePolicy(every_mm=0))
    assert [tile.slice_index for tile in kept] == [0, 1, 2, 3, 4]
    selection = select(stack, SlicePolicy(every_mm=0, near_duplicates=2))
    assert [tile.slice_index for tile in selection] == [0, 2]
    assert selection.dropped == {"near_duplicate": 3}
    assert selection.slice_reasons == {1: "near_duplicate", 3: "near_duplicate", 4: "near_duplicate"}
    assert len(list(select(stack, SlicePolicy(every_mm=0, near_duplicates=64)))) == 1


def test_tiles_have_hashes_of_the_window() -> None:
    window = Window(0, 500)
    for tile in Selection(stack_of(NOISE), NOISE, SlicePolicy(every_mm=0), 500, windows=[window] * len(NOISE)):
        assert tile.dhash == difference_hash(NOISE[tile.slice_index], window)
    for tile in select(stack_of(NOISE, units="HU"), SlicePolicy(every_mm=0)):
        assert tile.dhash == difference_hash(NOISE[tile.slice_index], CT_WINDOWS["soft"])


@settings(max_examples=200, deadline=None)
@given(
    arrays(st.sampled_from([np.uint8, np.int16, np.int32, np.float32]), (5, 7), elements=st.integers(0, 60)),
    st.floats(-10, 70, width=32),
    st.floats(0, 40),
)
def test_fast_ways_agree_with_the_definitions(pixels: np.ndarray, threshold: float, min_std: float) -> None:
    assert share_above(pixels, threshold) == np.mean(pixels.astype(np.float64) > threshold)
    deviation = float(np.std(pixels, dtype=np.float64))
    if abs(deviation - min_std) > 1e-9:
        assert is_flat(pixels, min_std) == (deviation < min_std)


@pytest.mark.parametrize("threshold", [-1e9, -0.5, 255.5, 1e9])
def test_thresholds_beyond_the_type(threshold: float) -> None:
    pixels = np.array([[0, 255]], np.uint8)
    assert share_above(pixels, threshold) == (threshold < 0)


def test_reformat_of_isotropic_volume_moves_no_voxel() -> None:
    stack = stack_of(NOISE)
    for plane, shape in (("coronal", (40, 12, 44)), ("sagittal", (44, 12, 40))):
        view, frames = reformat(stack, NOISE, plane)
        assert frames.shape == shape
        assert view.geometry.plane == plane
        assert "resampled" not in view.flags
        for s, y, x in [(0, 0, 0), (3, 5, 7), (39, 11, 39)]:
            i, j, k, _ = np.rint(np.linalg.inv(stack.geometry.affine) @ view.geometry.affine @ [x, y, s, 1]).astype(int)
            assert frames[s, y, x] == NOISE[k, j, i] == view.frame(s)[y, x]


def test_reformat_makes_pixels_square() -> None:
    ramp = np.broadcast_to(np.arange(12, dtype=np.int16)[:, None, None] * 30, (12, 40, 44))
    view, frames = reformat(stack_of(ramp, (1.5, 1, 1)), ramp, "coronal")
    assert view.geometry.spacing == pytest.approx((1, 1))
    assert view.flags == {"resampled"}
    assert frames.dtype == np.int16
    assert frames.shape == (40, 17, 44)  # 11 steps of 1.5 mm hold 16 steps of 1 mm
    height = (view.geometry.affine @ [0, 16, 0, 1])[2]  # the head is on top
    assert height == pytest.approx(0)
    assert frames[0, :, 0].tolist() == [20 * z for z in range(16, -1, -1)]


def test_acquired_plane_is_returned_as_it_is() -> None:
    stack = stack_of(NOISE, (5, 1, 1))
    assert reformat(stack, NOISE, "axial")[0] is stack


def test_anisotropy() -> None:
    assert anisotropy(stack_of(NOISE, (3, 1, 2))) == 3
    assert anisotropy(stack_of(NOISE[:1])) == np.inf
    assert anisotropy(stack_of(NOISE, flags=frozenset({"no_geometry"}))) == np.inf
    assert nearest_axis(stack_of(NOISE), "sagittal") == 0


def test_flags_must_be_in_the_table() -> None:
    with pytest.raises(ValueError, match="not in the table"):
        stack_of(NOISE, flags=frozenset({"blurred"}))
