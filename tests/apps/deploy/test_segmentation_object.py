"""SEG of every kind of series: right place, right references, valid, readable."""

from __future__ import annotations

import logging
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from highdicom.seg import segread
from pydicom.sr.codedict import codes

from lvm_med_monai.apps.deploy.equipment import Equipment
from lvm_med_monai.apps.deploy.identifiers import check_identifiers
from lvm_med_monai.apps.deploy.loading import load_model
from lvm_med_monai.apps.deploy.problems import DeployError
from lvm_med_monai.apps.deploy.segmentation_object import NOTHING_FOUND, check_labels, segment_names, write_segmentation
from lvm_med_monai.apps.deploy.series import read_series
from lvm_med_monai.apps.deploy.tasks import segment
from tests.apps.deploy.known import threshold_bundle
from tests.apps.deploy.reading import dice, validate
from tests.apps.deploy.scenes import (
    AXIAL,
    OBLIQUE,
    SAGITTAL,
    SCENES,
    SLICES,
    Scene,
    body,
    radiograph,
    save,
    ultrasound,
    volume,
)

FORMATS = {"ct": "hounsfield", "mr": "magnitude", "cr": "gray", "xa": "gray", "us": "rgb"}
BUNDLE = Equipment("Test bundle", "0.1.0")
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)


@pytest.mark.parametrize("name", SCENES)
def test_known_network_marks_the_body_in_every_kind_of_series(name: str, tmp_path: Path) -> None:
    scene = SCENES[name](tmp_path / "series")
    images = read_series(scene.folder)
    model = load_model(threshold_bundle(tmp_path / "bundle", FORMATS[name[:2]]))
    paths = []
    for number, (image, result) in enumerate(zip(images, segment(images, model), strict=True)):
        check_identifiers(result, list(image.headers.values()))
        paths.append(tmp_path / f"{number}.dcm")
        result.save_as(paths[-1])
        validate(paths[-1])
    assert dice(paths, scene.truth) >= 0.999
    assert len(paths) == (2 if name in ("mr_enhanced", "mr_two_echoes") else 1)  # one for each contrast


def saved(tmp_path: Path, scene, labels: np.ndarray, names: tuple[str, ...]) -> highdicom.seg.Segmentation:
    (image,) = read_series(scene.folder)
    result = write_segmentation(image, labels, names, BUNDLE, highdicom.UID())
    result.save_as(tmp_path / "seg.dcm")
    validate(tmp_path / "seg.dcm")
    return segread(tmp_path / "seg.dcm")


def test_only_frames_with_pixels_are_there_and_lie_on_their_slices(tmp_path: Path) -> None:
    scene = volume(tmp_path / "series")
    labels = np.stack([body(i).astype(np.uint8) for i in range(SLICES)])
    labels[2][labels[2] == 1] = 2
    seg = saved(tmp_path, scene, labels, ("background", "liver", "spleen", "aorta"))
    assert seg.NumberOfFrames == SLICES - 1
    places = [
        groups.PlanePositionSequence[0].ImagePositionPatient[2] for groups in seg.PerFrameFunctionalGroupsSequence
    ]
    assert sorted(places) == [30.0, 32.5, 35.0, 37.5, 40.0]
    numbers = [
        groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        for groups in seg.PerFrameFunctionalGroupsSequence
    ]
    assert places[numbers.index(2)] == 35.0
    assert seg.segment_numbers == [1, 2, 3]  # the aorta was looked for and is described
    assert [seg.get_segment_description(k).segmented_property_type for k in (1, 2, 3)] == [
        codes.SCT.Liver,
        codes.SCT.Spleen,
        codes.SCT.Aorta,
    ]
    assert len(seg.SourceImageSequence) == SLICES


@pytest.mark.parametrize("name", ["ct_sagittal", "ct_oblique", "mr_enhanced"])
def test_frames_have_the_place_of_the_frames_they_refer_to(name: str, tmp_path: Path) -> None:
    scene = SCENES[name](tmp_path / "series")
    places = {}
    for file in scene.folder.iterdir():
        source = pydicom.dcmread(file)
        groups = source.get("PerFrameFunctionalGroupsSequence")
        frames = [item.PlanePositionSequence[0] for item in groups] if groups else [source]
        places |= {(source.SOPInstanceUID, k): frame.ImagePositionPatient for k, frame in enumerate(frames, 1)}
    for image in read_series(scene.folder):
        labels = np.stack([body(i).astype(np.uint8) for i in range(SLICES)])
        seg = write_segmentation(image, labels, ("background", "tumor"), BUNDLE, highdicom.UID())
        for groups in seg.PerFrameFunctionalGroupsSequence:
            item = groups.DerivationImageSequence[0].SourceImageSequence[0]
            place = places[item.ReferencedSOPInstanceUID, int(item.get("ReferencedFrameNumber", 1))]
            assert groups.PlanePositionSequence[0].ImagePositionPatient == pytest.approx(list(place), abs=1e-5)
        shared = seg.SharedFunctionalGroupsSequence[0]
        assert shared.PixelMeasuresSequence[0].PixelSpacing == [0.8, 0.5]
        assert shared.PixelMeasuresSequence[0].SliceThickness == 2.5


def test_rounded_cosines_become_unit_vectors(tmp_path: Path) -> None:
    scene = volume(tmp_path / "series", orientation=(0.9995, 0.0, 0.0, 0.0008, 1.0003, 0.0))
    labels = np.stack([body(i).astype(np.uint8) for i in range(SLICES)])
    seg = saved(tmp_path, scene, labels, ("background", "tumor"))
    plane = seg.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
    assert plane.ImageOrientationPatient == [1, 0, 0, 0, 1, 0]


def test_nothing_found_is_one_empty_frame_a_segment_and_says_so(tmp_path: Path) -> None:
    scene = volume(tmp_path / "series")
    labels = np.zeros((SLICES, *body(0).shape), dtype=np.uint8)
    seg = saved(tmp_path, scene, labels, ("background", "liver", "spleen"))
    assert (seg.NumberOfFrames, seg.pixel_array.max(), seg.ContentDescription) == (2, 0, NOTHING_FOUND)


def test_images_without_place_have_none_in_the_result(tmp_path: Path) -> None:
    scene = ultrasound(tmp_path / "series", frames=4)
    labels = np.stack([body(i).astype(np.uint8) for i in range(4)])
    labels[1] = 0
    seg = saved(tmp_path, scene, labels, ("background", "breast lesion"))
    assert "FrameOfReferenceUID" not in seg
    assert (
        set(dir(seg.SharedFunctionalGroupsSequence[0])) & {"PlaneOrientationSequence", "PixelMeasuresSequence"} == set()
    )
    frames = [
        int(groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber)
        for groups in seg.PerFrameFunctionalGroupsSequence
    ]
    assert frames == [1, 3, 4]
    content = [groups.FrameContentSequence[0] for groups in seg.PerFrameFunctionalGroupsSequence]
    assert [item.InStackPositionNumber for item in content] == [1, 3, 4]
    assert [list(item.DimensionIndexValues) for item in content] == [[1, 1], [1, 3], [1, 4]]


def test_identifiers_are_new_or_the_sources(tmp_path: Path) -> None:
    scene = volume(tmp_path / "series")
    labels = np.stack([body(i).astype(np.uint8) for i in range(SLICES)])
    seg = saved(tmp_path, scene, labels, ("background", "tumor"))
    source = scene.first
    assert (seg.PatientName, seg.PatientID, seg.StudyInstanceUID) == (
        source.PatientName,
        "P-4711",
        source.StudyInstanceUID,
    )
    assert seg.SeriesInstanceUID != source.SeriesInstanceUID
    assert all(len(uid) <= 64 for uid in (seg.SOPInstanceUID, seg.SeriesInstanceUID))
    text = (tmp_path / "seg.dcm").read_bytes()
    assert not [secret for secret in (b"Secret", b"SECRETSTATION", str(tmp_path).encode()) if secret in text]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        pytest.param(np.zeros((1, 40, 56, 6)), "must undo its spatial transforms", id="transposed"),
        pytest.param(np.zeros((2, 56, 40, 6)), "end in one channel", id="no_argmax"),
        pytest.param(np.full((1, 56, 40, 6), 0.5), "no labels", id="probabilities"),
        pytest.param(np.full((1, 56, 40, 6), 2), "no labels from 0 to 1", id="unknown_class"),
        pytest.param(np.full((1, 56, 40, 6), np.nan), "no labels", id="nan"),
    ],
)
def test_results_that_are_no_label_maps_are_refused(labels: np.ndarray, message: str, tmp_path: Path) -> None:
    (image,) = read_series(volume(tmp_path).folder)
    with pytest.raises(DeployError, match=message):
        check_labels(labels, image, 2)


@pytest.mark.parametrize("names", [(), ("background",), ("liver", "background")])
def test_channels_without_background_first_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(DeployError, match="background first"):
        segment_names(names)


def delete(scene: Scene, keyword: str) -> None:
    """Remove an attribute from every file."""
    for path in scene.folder.iterdir():
        dataset = pydicom.dcmread(path)
        delattr(dataset, keyword)
        dataset.save_as(path)


@pytest.mark.parametrize(
    "orientation", [AXIAL, SAGITTAL, CORONAL, OBLIQUE], ids=["axial", "sagittal", "coronal", "oblique"]
)
def test_positions_in_no_named_space_are_left_out_with_a_note(
    orientation: tuple[float, ...], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scene = volume(tmp_path / "series", orientation=orientation)
    delete(scene, "FrameOfReferenceUID")
    labels = np.stack([body(i).astype(np.uint8) for i in range(SLICES)])
    with caplog.at_level(logging.WARNING, "lvm_med_monai"):
        seg = saved(tmp_path, scene, labels, ("background", "tumor"))
    assert dice([tmp_path / "seg.dcm"], scene.truth) == 1
    assert not [groups for groups in seg.PerFrameFunctionalGroupsSequence if "PlanePositionSequence" in groups]
    assert "positions but no FrameOfReferenceUID, so results have no positions" in caplog.text


@pytest.mark.parametrize(
    ("second", "expected"), [(["L", "F"], ["L", "F"]), (["P", "F"], None)], ids=["agree", "disagree"]
)
def test_an_orientation_that_files_disagree_in_is_left_empty(
    second: list[str], expected: list[str] | None, tmp_path: Path
) -> None:
    scene = radiograph(tmp_path / "series")
    lateral = pydicom.dcmread(tmp_path / "series" / "cr.dcm")
    lateral.SOPInstanceUID, lateral.InstanceNumber, lateral.PatientOrientation = highdicom.UID(), 2, second
    save(scene, lateral, "second.dcm", [body(1)])
    seg = saved(tmp_path, scene, np.stack([body(1).astype(np.uint8)] * 2), ("background", "tumor"))
    assert (seg.PatientOrientation or None) == expected


def test_a_made_up_size_of_pixels_is_in_no_result(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    scene = volume(tmp_path / "series")
    delete(scene, "PixelSpacing")
    labels = np.stack([body(i).astype(np.uint8) for i in range(SLICES)])
    with caplog.at_level(logging.WARNING, "lvm_med_monai"):
        seg = saved(tmp_path, scene, labels, ("background", "tumor"))
    assert "PixelMeasuresSequence" not in seg.SharedFunctionalGroupsSequence[0]
    assert "positions but no PixelSpacing, so results have no positions" in caplog.text
