from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.spatial.transform import Rotation

from lvm_med_monai.slices.geometry import LPS_TO_RAS, SliceGeometry, nearest_plane
from lvm_med_monai.slices.stack import geometry_flags
from lvm_med_monai.slices.volumes.cutting import acquisition_axis, cut, is_usable, slicing

ROW, COLUMN = np.array([1.0, 0, 0]), np.array([0, 1.0, 0])


def axial(z: list[float]) -> SliceGeometry:
    origins = np.zeros((len(z), 3))
    origins[:, 2] = z
    return SliceGeometry(origins, ROW, COLUMN, (0.5, 0.7))


@st.composite
def affines(draw: st.DrawFn) -> np.ndarray:
    """Right- or left-handed, any rotation, axis order and voxel size."""
    angles = [draw(st.floats(-180, 180)) for _ in range(3)]
    sizes = [draw(st.floats(0.2, 9)) for _ in range(3)]
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ np.diag(sizes)
    affine[:3, :3] = affine[:3, :3][:, draw(st.permutations([0, 1, 2]))]
    affine[:3, 3] = [draw(st.floats(-500, 500)) for _ in range(3)]
    return affine


@settings(max_examples=60, deadline=None)
@given(affines(), st.integers(2, 9))
def test_affine_round_trip(affine: np.ndarray, n: int) -> None:
    geometry = SliceGeometry.from_affine(affine, n)
    assert np.allclose(geometry.affine, affine, atol=1e-8)
    assert np.allclose(LPS_TO_RAS @ geometry.affine_ras, affine, atol=1e-8)
    assert np.allclose(SliceGeometry.from_ras_affine(geometry.affine_ras, n).affine, affine, atol=1e-8)
    assert geometry.is_regular
    assert geometry.max_deviation < 1e-6
    assert not geometry.gaps
    assert not geometry_flags(geometry)


@settings(max_examples=60, deadline=None)
@given(affines(), st.integers(0, 2), st.tuples(st.integers(2, 4), st.integers(2, 4), st.integers(2, 4)))
def test_cut_keeps_every_voxel_where_it_was(affine: np.ndarray, axis: int, shape: tuple[int, int, int]) -> None:
    volume = np.arange(np.prod(shape)).reshape(shape)
    frames, geometry = cut(volume, affine, axis)
    assert (geometry.steps > 0).all()
    for z, y, x in np.ndindex(frames.shape):
        place = geometry.affine @ [x, y, z, 1]
        i, j, k = np.rint(np.linalg.inv(affine) @ place)[:3].astype(int)
        assert volume[i, j, k] == frames[z, y, x]
        assert np.allclose(affine @ [i, j, k, 1], place, atol=1e-6)


@pytest.mark.parametrize(
    ("codes", "axis", "signed"),
    [
        pytest.param(np.diag([1.0, 1, 1, 1]), 2, (3, 2, 1), id="LPS axial stays"),
        pytest.param(np.diag([-1.0, -1, 1, 1]), 2, (3, -2, -1), id="RAS axial flips both"),
        pytest.param(np.diag([1.0, 1, 1, 1]), 1, (2, -3, 1), id="coronal shows the head on top"),
        pytest.param(np.diag([1.0, 1, 1, 1]), 0, (-1, -3, 2), id="sagittal shows the front at the left"),
    ],
)
def test_display_orientation(codes: np.ndarray, axis: int, signed: tuple[int, int, int]) -> None:
    assert slicing(codes, (4, 5, 6), axis)[0] == signed


def test_from_itk() -> None:
    direction = np.diag([1.0, -1, -1])
    geometry = SliceGeometry.from_itk([1, 2, 3], [0.5, 0.6, 4], direction, 3)
    assert geometry.spacing == (0.6, 0.5)
    assert np.allclose(geometry.origins[2], [1, 2, 3 - 8])
    assert geometry.plane == "axial"


def test_gap() -> None:
    geometry = axial([0, 2, 4, 10, 12])
    assert geometry.slice_spacing == 2
    assert geometry.gaps == ((2, 6.0),)
    assert geometry.max_deviation == 4
    assert not geometry.is_regular
    assert geometry_flags(geometry) == {"gap"}


def test_irregular_without_gap() -> None:
    assert geometry_flags(axial([0, 2, 4.2, 6])) == {"irregular"}


def test_tilt() -> None:
    origins = np.array([[0, 0.5 * i, 2.0 * i] for i in range(5)])
    geometry = SliceGeometry(origins, ROW, COLUMN, (1, 1))
    assert geometry.tilt_deg == pytest.approx(np.degrees(np.arctan(0.25)))
    assert geometry_flags(geometry) == {"tilt"}
    assert not geometry.is_regular
    assert np.allclose(geometry.affine @ [0, 0, 4, 1], [0, 2, 8, 1])  # the affine shears with the gantry


def test_one_slice() -> None:
    geometry = axial([7])
    assert geometry.slice_spacing is None
    assert geometry.gaps == ()
    assert geometry.max_deviation == geometry.tilt_deg == 0
    assert not geometry.is_regular
    assert np.allclose(geometry.affine[:3, 2], [0, 0, 1])
    assert not geometry_flags(geometry)


@pytest.mark.parametrize(
    ("angle", "plane"), [(0, "axial"), (29, "axial"), (31, "oblique"), (61, "coronal"), (90, "coronal")]
)
def test_plane(angle: float, plane: str) -> None:
    column = Rotation.from_euler("x", angle, degrees=True).apply(COLUMN)
    assert SliceGeometry(np.zeros((1, 3)), ROW, column, (1, 1)).plane == plane


def test_plane_tie_goes_to_axial() -> None:
    assert nearest_plane([1, 1, 1]) == "axial"
    assert nearest_plane([-1, 1, 0]) == "coronal"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param((np.zeros((0, 3)), ROW, COLUMN, (1, 1)), "shape", id="no slice"),
        pytest.param((np.zeros((2, 2)), ROW, COLUMN, (1, 1)), "shape", id="2D"),
        pytest.param((np.zeros((2, 3)), ROW, COLUMN, (0, 1)), "positive", id="zero spacing"),
        pytest.param((np.zeros((2, 3)), ROW * 2, COLUMN, (1, 1)), "unit", id="long row"),
        pytest.param((np.zeros((2, 3)), ROW, ROW, (1, 1)), "perpendicular", id="parallel"),
        pytest.param((np.full((2, 3), np.nan), ROW, COLUMN, (1, 1)), "finite", id="nan"),
    ],
)
def test_faults(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SliceGeometry(*arguments)


@pytest.mark.parametrize(
    ("spacing", "axis"),
    [((1, 1, 5), 2), ((4, 1, 1), 0), ((1, 3, 1), 1), ((1, 1, 1), 2), ((1, 1, 0.8), 2), ((1, 1.005, 1), 2)],
)
def test_acquisition_axis(spacing: tuple[float, float, float], axis: int) -> None:
    assert acquisition_axis(spacing) == axis


def test_usable_affine() -> None:
    sheared = np.eye(4)
    sheared[0, 1] = 0.5
    assert is_usable(np.eye(4))
    assert not is_usable(sheared)
    assert not is_usable(np.zeros((4, 4)))
    assert not is_usable(np.full((4, 4), np.nan))
