"""Grouping and order: what belongs together, and what is flagged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lvm_med_monai.slices.dicom.reader import read_dicom
from tests.slices.dicom_checks import check_ct, read
from tests.slices.factories import SPACING_Z, dicom_slice, enhanced, save, series, stored_pixels


def test_gap(tmp_path: Path) -> None:
    paths = series(tmp_path)
    paths[3].unlink()
    (stack,), _ = read(tmp_path)
    assert stack.flags == {"gap"}
    assert stack.geometry.gaps == ((2, 2 * SPACING_Z),)
    check_ct(stack, [0, 1, 2, 4, 5])


def test_tilt(tmp_path: Path) -> None:
    series(tmp_path, change=lambda i: {"ImagePositionPatient": [-20, -10 + i, i * SPACING_Z]})
    (stack,), _ = read(tmp_path)
    assert stack.flags == {"tilt"}
    assert np.array_equal(stack.frame(5), stored_pixels(5).astype(np.int16) - 1024)


def test_sagittal(tmp_path: Path) -> None:
    orientation = [0, 1, 0, 0, 0, -1]
    series(tmp_path, change=lambda i: {"ImageOrientationPatient": orientation, "ImagePositionPatient": [2 * i, 0, 0]})
    (stack,), _ = read(tmp_path)
    assert stack.geometry.plane == "sagittal"
    # row x column is -x here, so the slices ascend to the patient's right
    assert stack.geometry.origins[:, 0].tolist() == [10, 8, 6, 4, 2, 0]
    assert np.array_equal(stack.frame(0), stored_pixels(5).astype(np.int16) - 1024)


@pytest.mark.parametrize("acquisitions", [False, True], ids=["dealt by instance number", "split by acquisition"])
def test_same_position_twice(tmp_path: Path, acquisitions: bool) -> None:
    series(tmp_path, 4, lambda i: {"AcquisitionNumber": 1}, "a")
    again = {"InstanceNumber": 50, "RescaleIntercept": -1000, "AcquisitionNumber": 2 if acquisitions else 1}
    series(tmp_path, 4, lambda i: again | {"InstanceNumber": 50 + i}, "b")
    (first, second), rejects = read(tmp_path)
    assert not rejects
    assert first.flags == second.flags == {"duplicate_positions"}
    check_ct(first, [0, 1, 2, 3])
    check_ct(second, [0, 1, 2, 3], intercept=-1000)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("series", {"SeriesInstanceUID": "1.2.3.5"}),
        ("size", {"pixels": stored_pixels(0, 20, 30)}),
        ("echo", {"EchoTime": 20}),
        ("time", {"TemporalPositionIdentifier": 2}),
        ("spacing", {"PixelSpacing": [1, 1]}),
        ("orientation", {"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}),
        ("frame of reference", {"FrameOfReferenceUID": "1.9"}),
    ],
)
def test_split(tmp_path: Path, name: str, change: dict) -> None:
    series(tmp_path, 4)
    save(dicom_slice(1, **change), tmp_path / "other.dcm")
    stacks, rejects = read(tmp_path)
    assert not rejects
    assert sorted(stack.n_slices for stack in stacks) == [1, 4]
    check_ct(max(stacks, key=lambda stack: stack.n_slices), [0, 1, 2, 3])


def test_unnamed_series_split_by_folder(tmp_path: Path) -> None:
    for folder in "ab":
        series(tmp_path / folder, 3, lambda i: {"SeriesInstanceUID": ""})
    assert [stack.n_slices for stack in read(tmp_path)[0]] == [3, 3]


def test_no_position(tmp_path: Path) -> None:
    series(tmp_path, change=lambda i: {"ImagePositionPatient": None, "InstanceNumber": 6 - i})
    (stack,), _ = read(tmp_path)
    assert stack.flags == {"no_geometry", "instance_order"}
    assert np.array_equal(stack.frame(0), stored_pixels(5).astype(np.int16) - 1024)


def test_localizer_in_series(tmp_path: Path) -> None:
    series(tmp_path)
    save(dicom_slice(3, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), tmp_path / "scout")
    (stack,), (reject,) = read(tmp_path)
    assert reject.reason == "localizer"
    check_ct(stack, [0, 1, 2, 3, 4, 5])


def test_truncated(tmp_path: Path) -> None:
    paths = series(tmp_path)
    paths[2].write_bytes(paths[2].read_bytes()[:-100])
    (stack,), (reject,) = read(tmp_path)
    assert (reject.path, reject.reason) == (paths[2], "truncated")
    assert stack.flags == {"gap", "missing"}
    check_ct(stack, [0, 1, 3, 4, 5])


def test_enhanced_time_points_are_separate(tmp_path: Path) -> None:
    dataset = enhanced([0, 1, 0, 1], [1, 1, 1, 1])
    save(dataset, tmp_path / "0")
    stacks, _ = read(tmp_path)
    assert [stack.n_slices for stack in stacks] == [2, 2]
    assert stacks[0].flags == {"duplicate_positions"}


def test_input_order_does_not_matter(tmp_path: Path) -> None:
    paths = series(tmp_path, 4) + series(tmp_path, 3, lambda i: {"SeriesInstanceUID": "1.9"}, "b")
    forward, backward = ([s.sources for s in read_dicom(order)] for order in (paths, paths[::-1]))
    assert forward == backward
