"""Between which values a frame is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from lvm_med_monai.slices.dicom.display import display_range, picture_range
from lvm_med_monai.slices.dicom.frames import Frame
from lvm_med_monai.slices.dicom.reader import read_frames
from tests.slices.dicom_checks import read
from tests.slices.factories import dicom_slice, save, stored_pixels

CR: dict[str, Any] = {
    "Modality": "CR",
    **dict.fromkeys(("ImagePositionPatient", "ImageOrientationPatient", "RescaleSlope", "RescaleIntercept")),
}
BYTES = {"pixels": stored_pixels(0).astype(np.uint8), "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}


def frames_of(folder: Path, dataset: Dataset) -> list[Frame]:
    found = read_frames(save(dataset, folder / "a.dcm"))
    assert isinstance(found, list)
    return found


def window(centre: float, width: float) -> Sequence:
    """Items of a FrameVOILUTSequence."""
    item = Dataset()
    item.WindowCenter, item.WindowWidth = centre, width
    return Sequence([item])


def table(bits: int) -> Sequence:
    item = Dataset()
    item.add_new(0x00283002, "US", [4096, 0, bits])
    item.add_new(0x00283006, "OW", (np.arange(4096) % (1 << bits)).astype("<u2").tobytes())
    return Sequence([item])


def test_each_slice_has_the_window_of_its_file(tmp_path: Path) -> None:
    for index, (centre, bits) in enumerate([(2048, 12), (512, 10)]):
        own = {"WindowCenter": centre, "WindowWidth": 2 * centre, "BitsStored": bits, "HighBit": bits - 1}
        save(dicom_slice(index, **CR, **own, PhotometricInterpretation="MONOCHROME1"), tmp_path / f"{index}.dcm")
    ((stack,), _) = read(tmp_path)
    assert stack.display_ranges == ((0.0, 4095.0), (0.0, 1023.0))
    assert stack.display_range == stack.display_ranges[0]


def test_slices_that_agree_have_one_window(tmp_path: Path) -> None:
    for index in range(2):
        save(dicom_slice(index, **CR, WindowCenter=100.5, WindowWidth=101), tmp_path / f"{index}.dcm")
    ((stack,), _) = read(tmp_path)
    assert (stack.display_range, stack.display_ranges) == ((50.0, 150.0), ())


@pytest.mark.parametrize(
    ("shared", "own", "expected"),
    [
        pytest.param((8000, 16000), (None, None), [(0.0, 15999.0)] * 2, id="shared"),
        pytest.param(None, ((100.5, 101), (200.5, 101)), [(50.0, 150.0), (150.0, 250.0)], id="own"),
        pytest.param((8000, 16000), (None, (200.5, 101)), [(0.0, 15999.0), (150.0, 250.0)], id="own_before_shared"),
        pytest.param(None, (None, None), [(450.0, 550.0)] * 2, id="of_the_file"),
    ],
)
def test_functional_groups_come_before_the_file(
    shared: tuple[float, float] | None, own: tuple[Any, Any], expected: list[tuple[float, float]], tmp_path: Path
) -> None:
    dataset = dicom_slice(0, pixels=np.stack([stored_pixels(0), stored_pixels(1)]), **CR, NumberOfFrames=2)
    dataset.WindowCenter, dataset.WindowWidth = 500.5, 101
    groups = [Dataset(), Dataset(), Dataset()]
    for group, values in zip(groups, (shared, *own), strict=True):
        if values is not None:
            group.FrameVOILUTSequence = window(*values)
    dataset.SharedFunctionalGroupsSequence = Sequence(groups[:1])
    dataset.PerFrameFunctionalGroupsSequence = Sequence(groups[1:])
    assert [display_range(frame) for frame in frames_of(tmp_path, dataset)] == expected


@pytest.mark.parametrize(("bits", "top"), [(8, 255.0), (12, 4095.0), (16, 65535.0), (0, 65535.0)])
def test_a_voi_table_is_shown_whole(bits: int, top: float, tmp_path: Path) -> None:
    (frame,) = frames_of(tmp_path, dicom_slice(0, **CR, VOILUTSequence=table(bits)))
    assert display_range(frame) == (0.0, top)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({**CR, **BYTES}, (0.0, 255.0), id="bytes"),
        pytest.param({**CR, **BYTES, "BitsStored": 7, "HighBit": 6}, (0.0, 127.0), id="7_bits"),
        pytest.param({**CR, **BYTES, "RescaleSlope": 2, "RescaleIntercept": 5}, (5.0, 515.0), id="bytes_rescaled"),
        pytest.param({**CR, **BYTES, "WindowCenter": 60.5, "WindowWidth": 41}, (40.0, 80.0), id="bytes_with_window"),
        pytest.param(CR, None, id="12_bits"),
        pytest.param(BYTES, None, id="ct"),
    ],
)
def test_bytes_without_a_window_are_pictures_as_they_are(
    changes: dict[str, Any], expected: tuple[float, float] | None, tmp_path: Path
) -> None:
    (frame,) = frames_of(tmp_path, dicom_slice(0, **changes))
    assert picture_range(frame) == expected
