"""Options, environment and the answer where the App SDK is missing."""

from __future__ import annotations

import logging
from pathlib import Path

import pydicom
import pytest
from pydicom.misc import warn_and_log

from lvm_med_monai.apps.deploy import command
from lvm_med_monai.apps.deploy.complete_series import complete_series, main
from lvm_med_monai.apps.deploy.console import speaking
from lvm_med_monai.apps.deploy.problems import DeployError
from lvm_med_monai.apps.deploy.series import read_series
from tests.apps.deploy.scenes import enhanced, radiograph, volume
from tests.slices.factories import DEMO

VARIABLES = ("HOLOSCAN_INPUT_PATH", "HOLOSCAN_MODEL_PATH", "HOLOSCAN_OUTPUT_PATH")


def test_paths_come_from_options_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.setenv(variable, variable.lower())
    options = command.parse("segmentation", ["-i", "mine", "--series", "2"])
    assert (options.input, options.model, options.output, options.series) == (
        Path("mine"),
        Path("holoscan_model_path"),
        Path("holoscan_output_path"),
        "2",
    )


def test_paths_are_required_where_the_environment_has_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(SystemExit) as ended:
        command.parse("segmentation", [])
    assert ended.value.code == 2
    assert "-i/--input, -m/--model, -o/--output" in capsys.readouterr().err


def test_without_the_sdk_the_command_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    assert command.main("segmentation", ["-i", "a", "-m", "b", "-o", "c"]) == 1
    assert "requirements/deploy.txt" in capsys.readouterr().err


def test_completed_demo_series_can_be_referred_to(tmp_path: Path) -> None:
    complete_series(DEMO / "abdomen_ct_dicom" / "series", tmp_path / "out")
    (image,) = read_series(tmp_path / "out")
    assert (image.stack.n_slices, image.placed, image.stack.units) == (20, True, "HU")
    before = pydicom.dcmread(sorted((DEMO / "abdomen_ct_dicom" / "series").iterdir())[0])
    after = pydicom.dcmread(sorted((tmp_path / "out").iterdir())[0])
    assert after.PixelData == before.PixelData
    assert after.SOPInstanceUID == before.file_meta.MediaStorageSOPInstanceUID


def test_identifiers_that_are_there_are_kept(tmp_path: Path) -> None:
    scene = volume(tmp_path / "in", count=2)
    for file in complete_series(tmp_path / "in", tmp_path / "out"):
        dataset = pydicom.dcmread(file)
        assert (dataset.SOPInstanceUID, 1) in scene.truth
        assert dataset.StudyInstanceUID == scene.first.StudyInstanceUID
        assert dataset.FrameOfReferenceUID == scene.first.FrameOfReferenceUID


def test_positions_in_functional_groups_get_a_space(tmp_path: Path) -> None:
    scene = enhanced(tmp_path / "in")
    dataset = pydicom.dcmread(scene.folder / "enhanced.dcm")
    dataset.FrameOfReferenceUID = dataset.StudyInstanceUID = ""
    dataset.save_as(scene.folder / "enhanced.dcm")
    complete_series(tmp_path / "in", tmp_path / "out")
    assert [image.placed for image in read_series(tmp_path / "out")] == [True, True]


def test_images_without_places_get_no_space(tmp_path: Path) -> None:
    radiograph(tmp_path / "in")
    (file,) = complete_series(tmp_path / "in", tmp_path / "out")
    assert "FrameOfReferenceUID" not in pydicom.dcmread(file)


def test_completing_refuses_files_of_no_kind_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (file,) = volume(tmp_path / "in", count=1).folder.iterdir()
    dataset = pydicom.dcmread(file)
    del dataset.SOPClassUID, dataset.file_meta.MediaStorageSOPClassUID
    dataset.save_as(file, enforce_file_format=False)
    assert main([str(tmp_path / "in"), str(tmp_path / "out")]) == 1
    assert "has no SOPClassUID, and the kind of image cannot be made up" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_completing_refuses_an_existing_folder_and_one_without_dicom(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    volume(tmp_path / "in", count=1)
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "notes.txt").write_text("notes")
    assert main([str(tmp_path / "in"), str(tmp_path / "in")]) == 1
    assert main([str(tmp_path / "text"), str(tmp_path / "out")]) == 1
    assert not (tmp_path / "out").exists()
    error = capsys.readouterr().err
    assert "exists; give a new folder" in error
    assert "holds no DICOM images" in error
    assert main([str(tmp_path / "in"), str(tmp_path / "out")]) == 0


def test_completing_refuses_damaged_files_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = sorted(volume(tmp_path / "in", count=2).folder.iterdir())[1]
    file.write_bytes(file.read_bytes()[:300])
    assert main([str(tmp_path / "in"), str(tmp_path / "out")]) == 1
    assert f"{file.name} cannot be used" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_completing_refuses_an_output_inside_its_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    volume(tmp_path / "in", count=2)
    assert main([str(tmp_path / "in"), str(tmp_path / "in" / "out")]) == 1
    assert "lies in" in capsys.readouterr().err
    assert len(list((tmp_path / "in").iterdir())) == 2


def test_completing_that_fails_half_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume(tmp_path / "in", count=2)
    saved: list[Path] = []

    def full(dataset: pydicom.Dataset, target: Path, **_: object) -> None:
        if saved:
            raise OSError(28, "No space left on device")
        target.write_bytes(b"")
        saved.append(target)

    monkeypatch.setattr(pydicom.Dataset, "save_as", full)
    with pytest.raises(DeployError, match="cannot be written"):
        complete_series(tmp_path / "in", tmp_path / "out")
    assert len(saved) == 1
    assert not (tmp_path / "out").exists()


def test_notes_are_printed_and_libraries_that_quote_values_are_not(capfd: pytest.CaptureFixture[str]) -> None:
    ours, quoting = logging.getLogger("lvm_med_monai.apps.deploy.series"), logging.getLogger("highdicom.base")
    root = logging.StreamHandler()
    logging.getLogger().addHandler(root)
    try:
        with speaking():
            ours.warning("left alone")
            quoting.warning("value is potentially invalid: Doe")
            warn_and_log("Invalid value for VR DA: '1970-01-02'")
    finally:
        logging.getLogger().removeHandler(root)
    assert capfd.readouterr().err == "note: left alone\n"
