"""Which series of several is read."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import DigitalXRayImageStorageForPresentation

from lvm_med_monai.apps.deploy.problems import DeployError
from lvm_med_monai.apps.deploy.series import read_series
from tests.apps.deploy.scenes import SLICES, Scene, base, body, save, slice_of, volume, with_pixels


def number_series(folder: Path, number: int, uid: str) -> None:
    """Make the files of a folder a series of its own."""
    for path in folder.glob("*.dcm"):
        dataset = pydicom.dcmread(path)
        dataset.SeriesNumber, dataset.SeriesInstanceUID = number, uid
        dataset.save_as(path)


def two_series(folder: Path) -> None:
    volume(folder / "a")
    number_series(volume(folder / "b", count=3).folder, 12, "1.2.826.0.1.3680043.10.511.3.77.2")


@pytest.mark.parametrize(
    ("choice", "count"),
    [("3", SLICES), ("12", 3), ("1.2.826.0.1.3680043.10.511.3.77.2", 3)],
    ids=["number", "other_number", "uid"],
)
def test_one_of_several_series_is_chosen(choice: str, count: int, tmp_path: Path) -> None:
    two_series(tmp_path)
    (image,) = read_series(tmp_path, choice)
    assert image.stack.n_slices == count


LISTED = (
    r"holds 2 series:\n"
    r"  CT, 3 slices of 40 x 56, SeriesNumber 12, SeriesInstanceUID 1\.2\.826\.0\.1\.3680043\.10\.511\.3\.77\.2\n"
    r"  CT, 6 slices of 40 x 56, SeriesNumber 3, SeriesInstanceUID 1\.2\.826\.0\.1\.3680043\.10\.511\.3\.77\.1\n"
    r"Choose one with --series"
)


def test_several_series_without_a_choice_are_listed(tmp_path: Path) -> None:
    two_series(tmp_path)
    with pytest.raises(DeployError, match=LISTED):
        read_series(tmp_path)


def mosaic(folder: Path) -> None:
    """An MR series of its own, number 8."""
    dataset = slice_of(0, "MR")
    dataset.SeriesInstanceUID, dataset.SeriesNumber = "1.2.826.0.1.3680043.10.511.3.77.8", 8
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]
    dataset.private_block(0x19, "SIEMENS MR HEADER", create=True).add_new(0x0A, "US", 4)
    save(Scene(folder), dataset, "mosaic.dcm", [])


def twins(folder: Path) -> None:
    """A radiograph for processing, series 1, and one for presentation, series 2."""
    for number, intent in enumerate(("FOR PROCESSING", "FOR PRESENTATION"), 1):
        dataset = base(DigitalXRayImageStorageForPresentation, "DX")
        dataset.SeriesInstanceUID, dataset.SeriesNumber = f"{dataset.SeriesInstanceUID}.{number}", number
        dataset.InstanceNumber, dataset.PresentationIntentType = 1, intent
        save(Scene(folder), with_pixels(dataset, np.where(body(1), 3600, 300).astype(np.uint16)), f"{number}.dcm", [])


def test_a_series_is_chosen_beside_a_mosaic(tmp_path: Path) -> None:
    volume(tmp_path)
    mosaic(tmp_path)
    (image,) = read_series(tmp_path, "3")
    assert image.stack.n_slices == SLICES
    with pytest.raises(DeployError, match="is a mosaic, whose tiles cannot be referred to"):
        read_series(tmp_path, "8")


@pytest.mark.parametrize(("choice", "number"), [("1", 1), ("2", 2), (None, 2)])
def test_a_radiograph_with_a_twin_in_another_series_can_be_chosen(
    choice: str | None, number: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    twins(tmp_path)
    with caplog.at_level(logging.WARNING):
        (image,) = read_series(tmp_path, choice)
    assert image.header(0).SeriesNumber == number
    assert ("1 for_processing (1.dcm)" in caplog.text) == (choice is None)


def test_a_number_that_two_series_have_is_no_choice(tmp_path: Path) -> None:
    two_series(tmp_path)
    number_series(tmp_path / "b", 3, "1.2.826.0.1.3680043.10.511.3.77.2")
    with pytest.raises(DeployError, match=r"has 2 series '3':\n.*SeriesInstanceUID"):
        read_series(tmp_path, "3")


@pytest.mark.parametrize("absent", ["7", "0", "\N{SUPERSCRIPT TWO}", ""])
def test_a_series_that_is_not_there_is_refused(absent: str, tmp_path: Path) -> None:
    two_series(tmp_path)
    with pytest.raises(DeployError, match=f"no series '{absent}'"):
        read_series(tmp_path, absent)
