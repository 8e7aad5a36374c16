"""Which series is read, how it is split, and what is refused."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000Lossless, SecondaryCaptureImageStorage, SegmentationStorage

from lvm_med_monai.apps.deploy.problems import DeployError
from lvm_med_monai.apps.deploy.series import read_series
from tests.apps.deploy.scenes import (
    SAGITTAL,
    SLICES,
    STEP,
    Scene,
    base,
    body,
    enhanced,
    save,
    slice_of,
    ultrasound,
    volume,
    with_pixels,
)
from tests.slices.factories import DEMO


def change(path: Path, **attributes: object) -> None:
    dataset = pydicom.dcmread(path)
    for name, value in attributes.items():
        setattr(dataset, name, value)
    dataset.save_as(path)


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.dcm"))


def test_slices_are_in_the_order_of_their_places(tmp_path: Path) -> None:
    (image,) = read_series(volume(tmp_path).folder)
    heights = [image.stack.geometry.origins[i][2] for i in range(SLICES)]
    assert heights == [30 + STEP * i for i in range(SLICES)]
    for index in range(SLICES):
        inside = image.stack.frame(index)[body(index)]
        assert (inside == 200).all()
        assert image.header(index).SOPInstanceUID == pydicom.dcmread(image.files[index]).SOPInstanceUID
    assert image.frames == (None,) * SLICES


def test_frames_of_one_file_keep_their_numbers_and_b_values_are_apart(tmp_path: Path) -> None:
    images = read_series(enhanced(tmp_path).folder)
    assert [image.frames for image in images] == [(3, 7, 11, 1, 9, 5), (4, 8, 12, 2, 10, 6)]
    assert all(image.placed for image in images)
    assert all(float(image.header(0).SliceThickness) == STEP for image in images)


def test_cine_has_no_place(tmp_path: Path) -> None:
    (image,) = read_series(ultrasound(tmp_path, frames=3).folder)
    assert (image.placed, image.frames, image.stack.channels) == (False, (1, 2, 3), 3)


def test_same_places_twice_become_two_stacks(tmp_path: Path) -> None:
    scene = volume(tmp_path, count=3)
    for index in range(3):
        dataset = slice_of(index, "CT")
        dataset.InstanceNumber, dataset.AcquisitionNumber = 100 + index, 2
        save(scene, dataset, f"second{index}.dcm", [body(index)])
    assert [image.stack.n_slices for image in read_series(tmp_path)] == [3, 3]


def test_headers_hold_what_a_result_may_repeat_and_no_more(tmp_path: Path) -> None:
    (image,) = read_series(volume(tmp_path).folder)
    text = str(image.header(0))
    assert "P-4711" in text
    assert "Secret" not in text.replace("SECRET", "Secret")


def test_files_that_are_no_part_of_the_series_are_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    scene = volume(tmp_path)
    (tmp_path / "README.txt").write_text("notes")
    (tmp_path / ".hidden.dcm").write_bytes(b"x")
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "photo.png")
    localizer = slice_of(0, "CT")
    localizer.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    save(scene, localizer, "scout.dcm", [])
    save(scene, base(SegmentationStorage, "SEG"), "old_result.dcm", [])
    with caplog.at_level(logging.WARNING):
        (image,) = read_series(tmp_path)
    assert image.stack.n_slices == SLICES
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == (
        "files left alone: 1 hidden (.hidden.dcm), 1 localizer (scout.dcm), 1 not_image (old_result.dcm), "
        "2 unrecognised (README.txt, ...)"
    )


def no_images(folder: Path) -> None:
    save(Scene(folder), base(SegmentationStorage, "SEG"), "seg.dcm", [])


def pictures(folder: Path) -> None:
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / "photo.png")


def cut_pixels(folder: Path) -> None:
    path = files(volume(folder).folder)[2]
    path.write_bytes(path.read_bytes()[:-500])


def cut_header(folder: Path, length: int = 100) -> None:
    path = files(volume(folder).folder)[2]
    path.write_bytes(path.read_bytes()[:length])


def cut_fragments(folder: Path) -> None:
    path = files(volume(folder, compress=JPEG2000Lossless).folder)[2]
    path.write_bytes(path.read_bytes()[:-40])


def without_bytes(folder: Path) -> None:
    files(volume(folder).folder)[2].write_bytes(b"")


def two_patients(folder: Path) -> None:
    change(files(volume(folder).folder)[0], PatientID="P-0815")


def instance_twice(folder: Path) -> None:
    path = files(volume(folder).folder)[0]
    (folder / "copy.dcm").write_bytes(path.read_bytes())


def without_study(folder: Path) -> None:
    for path in files(volume(folder).folder):
        change(path, StudyInstanceUID="")


def without_class(folder: Path) -> None:
    for path in files(volume(folder).folder):
        dataset = pydicom.dcmread(path)
        del dataset.SOPClassUID, dataset.file_meta.MediaStorageSOPClassUID
        dataset.save_as(path, enforce_file_format=False)


def without_image(folder: Path, link: bool, target: bool = True) -> None:
    """One slice of the series is a link that leads out, or hidden."""
    path = files(volume(folder).folder)[2]
    if not link:
        path.rename(folder / f".{path.name}")
        return
    outside = folder.parent / f"{folder.name}_elsewhere.dcm"
    path.rename(outside)
    path.symlink_to(outside)
    if not target:
        outside.unlink()


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda folder: None, "holds no files"),
    "no_images": (no_images, "holds no DICOM image.*not_image: a segmentation"),
    "pictures": (pictures, "holds no DICOM image.*no DICOM but picture"),
    "cut_pixels": (cut_pixels, "cannot be used .truncated.*holds .* of the 4480 bytes.*Send the file again"),
    "cut_header": (cut_header, "cannot be used .corrupt"),
    "cut_before_elements": (partial(cut_header, length=300), "cannot be used .truncated.*ends in its header"),
    "cut_before_pixels": (partial(cut_header, length=500), "cannot be used .truncated.*ends in its header"),
    "cut_fragments": (cut_fragments, "cannot be used .truncated"),
    "without_bytes": (without_bytes, "cannot be used .empty"),
    "two_patients": (two_patients, "disagree in PatientID"),
    "instance_twice": (instance_twice, "same instance"),
    "without_study": (without_study, "has no StudyInstanceUID.*complete_series"),
    "without_class": (without_class, r"has no SOPClassUID, and a result must name its source; have the sender export"),
    "hidden_slice": (partial(without_image, link=False), r"\.02\.dcm cannot be used .missing_data.*begins with a dot"),
    "linked_slice": (
        partial(without_image, link=True),
        r"02\.dcm cannot be used .missing_data.*leads out of the folder",
    ),
    "lost_slice": (partial(without_image, link=True, target=False), r"02\.dcm cannot be used .*leads nowhere"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_folders_are_refused_with_a_reason(name: str, tmp_path: Path) -> None:
    make, message = BAD[name]
    make(tmp_path)
    with pytest.raises(DeployError, match=message) as caught:
        read_series(tmp_path)
    assert not {"P-4711", "P-0815", "Öztürk"} & set(str(caught.value).split())


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="holds no files"):
        read_series(tmp_path / "missing")


def screenshot(folder: Path, colour: bool) -> None:
    dataset = base(SecondaryCaptureImageStorage, "CT")
    dataset.InstanceNumber, dataset.ConversionType = 99, "WSD"
    pixels = np.full((64, 64, 3) if colour else (64, 64), 90, np.uint8)
    save(Scene(folder), with_pixels(dataset, pixels, bits=8), "screenshot.dcm", [])


def scout(folder: Path) -> None:
    dataset = slice_of(0, "CT", SAGITTAL)
    dataset.InstanceNumber = 99
    save(Scene(folder), dataset, "scout.dcm", [])


@pytest.mark.parametrize(
    ("add", "what"),
    [
        pytest.param(partial(screenshot, colour=True), "1 slices of 64 x 64 .Secondary Capture", id="colour"),
        pytest.param(partial(screenshot, colour=False), "1 slices of 64 x 64 .Secondary Capture", id="grey"),
        pytest.param(scout, r"1 slices of 40 x 56 \(CT Image Storage, sagittal", id="scout_without_a_tag"),
    ],
)
def test_other_images_of_the_series_are_left_alone_and_named(
    add: Callable[[Path], None], what: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    volume(tmp_path)
    add(tmp_path)
    with caplog.at_level(logging.WARNING):
        (image,) = read_series(tmp_path)
    assert image.stack.n_slices == SLICES
    assert re.search(f"left alone, as it is no part of the series' images: {what}", caplog.text)


def test_an_image_beats_more_screenshots_of_it(tmp_path: Path) -> None:
    volume(tmp_path, indices=[1])
    for number in range(3):
        screenshot(tmp_path, colour=True)
        (tmp_path / "screenshot.dcm").rename(tmp_path / f"shot{number}.dcm")
    (image,) = read_series(tmp_path)
    assert image.stack.units == "HU"


def test_a_slice_without_rescale_is_not_left_alone(tmp_path: Path) -> None:
    """Unlike a screenshot it is a slice of the series; the bundle refuses it."""
    path = files(volume(tmp_path).folder)[2]
    dataset = pydicom.dcmread(path)
    del dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType
    dataset.save_as(path)
    assert {image.stack.units for image in read_series(tmp_path)} == {"HU", "raw"}


def test_class_and_instance_are_taken_from_the_file_meta_information(tmp_path: Path) -> None:
    scene = volume(tmp_path, count=2)
    for path in files(tmp_path):
        change(path, SOPClassUID="", SOPInstanceUID="")
    (image,) = read_series(tmp_path)
    assert {header.SOPInstanceUID for header in image.headers.values()} == {uid for uid, _ in scene.truth}


def test_demo_mr_is_one_oblique_stack() -> None:
    (image,) = read_series(DEMO / "brain_mr_dicom")
    assert (image.stack.n_slices, image.placed) == (19, True)
    assert isinstance(image.header(0), Dataset)
