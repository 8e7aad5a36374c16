"""Results name their source and nothing else."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from lvm_med_monai.apps.deploy import identifiers
from lvm_med_monai.apps.deploy.equipment import Equipment
from lvm_med_monai.apps.deploy.identifiers import check_identifiers
from lvm_med_monai.apps.deploy.output import write_results
from lvm_med_monai.apps.deploy.problems import DeployError
from lvm_med_monai.apps.deploy.reports import Boxes, Scores, classification_report, detection_report
from lvm_med_monai.apps.deploy.segmentation_object import write_segmentation
from lvm_med_monai.apps.deploy.series import SourceImage, read_series
from tests.apps.deploy.scenes import SLICES, body, volume


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> SourceImage:
    return read_series(volume(tmp_path_factory.mktemp("series")).folder)[0]


@pytest.fixture
def seg(image: SourceImage) -> Dataset:
    labels = np.stack([body(i).astype(np.uint8) for i in range(SLICES)])
    return write_segmentation(image, labels, ("background", "tumor"), Equipment("B", "1"), highdicom.UID())


def sources(image: SourceImage) -> list[Dataset]:
    return list(image.headers.values())


def test_what_the_writers_make_passes(image: SourceImage, seg: Dataset) -> None:
    check_identifiers(seg, sources(image))
    scores = [Scores(image, 0, np.array([0.2, 0.8]))]
    check_identifiers(classification_report(scores, ("a", "b"), False, Equipment("B", "1")), sources(image))


def set_to(keyword: str, value: object) -> Callable[[Dataset], None]:
    return lambda result: setattr(result, keyword, value)


def other_reference(result: Dataset) -> None:
    groups = result.PerFrameFunctionalGroupsSequence[1]
    groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID = "1.2.3"


def other_series(result: Dataset) -> None:
    result.ReferencedSeriesSequence[0].SeriesInstanceUID = "1.2.3"


def private(result: Dataset) -> None:
    result.private_block(0x0099, "MAKER", create=True).add_new(0x01, "LO", "secret")


def nested_patient(result: Dataset) -> None:
    item = Dataset()
    item.PatientName = "Somebody^Else"
    result.SourcePatientGroupIdentificationSequence = [item]


LEAKS: dict[str, tuple[Callable[[Dataset], None], str]] = {
    "other_patient": (set_to("PatientID", "P-0815"), "PatientID differs"),
    "other_study": (set_to("StudyInstanceUID", "1.2.3"), "StudyInstanceUID differs"),
    "other_space": (set_to("FrameOfReferenceUID", "1.2.3"), "FrameOfReferenceUID differs"),
    "other_birth_date": (set_to("PatientBirthDate", "19700101"), "PatientBirthDate differs"),
    "patient_inside": (nested_patient, "PatientName differs"),
    "institution": (set_to("InstitutionName", "Secret Hospital"), "InstitutionName is a text"),
    "station": (set_to("StationName", "S"), "StationName is a text"),
    "operator": (set_to("OperatorsName", "O"), "OperatorsName is a text"),
    "comment": (set_to("ImageComments", "seen by Dr X"), "ImageComments is a text"),
    "acquired": (set_to("AcquisitionDate", "20240305"), "AcquisitionDate is a date"),
    "device_uid": (set_to("DeviceUID", "1.2.3"), "DeviceUID is a UID"),
    "path": (set_to("SeriesDescription", "mask of /data/smith/ct"), "SeriesDescription holds a path"),
    "windows_path": (set_to("ContentDescription", "C:\\smith\\ct"), "ContentDescription holds a path"),
    "host": (
        set_to("SeriesDescription", f"made on {socket.gethostname()}"),
        "SeriesDescription holds the name of this",
    ),
    "reference": (other_reference, "ReferencedSOPInstanceUID refers to a file outside"),
    "series": (other_series, "SeriesInstanceUID refers to another series"),
    "private": (private, "is private"),
}


@pytest.mark.parametrize("name", LEAKS)
def test_anything_else_is_refused_and_not_written(
    name: str, image: SourceImage, seg: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leak, message = LEAKS[name]
    monkeypatch.setattr(socket, "gethostname", lambda: "ward7.hospital.example")
    if name == "host":
        seg.SeriesDescription = "made on WARD7"
    else:
        leak(seg)
    with pytest.raises(DeployError, match=message) as caught:
        write_results([seg], sources(image), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not [secret for secret in ("smith", "Secret", "P-0815", "WARD7") if secret in str(caught.value)]


@pytest.mark.parametrize("text", ["benign/malignant", "T2 w/ contrast", "no/yes", "1/2 of it"])
def test_a_slash_is_no_path(text: str, image: SourceImage, seg: Dataset) -> None:
    seg.SeriesDescription = text
    check_identifiers(seg, sources(image))


@pytest.mark.parametrize("text", ["benign /malignant", "cyst / tumor", "T2 /FLAIR, high"])
def test_a_slash_in_a_class_name_is_no_path(text: str, image: SourceImage, seg: Dataset) -> None:
    seg.SegmentSequence[0].SegmentLabel = text
    check_identifiers(seg, sources(image))


@pytest.mark.parametrize("text", ["mask of /data/smith", "/smith", "of ~/smith", "of C:\\smith", "'/smith'"])
def test_a_path_in_a_class_name_is_refused(text: str, image: SourceImage, seg: Dataset) -> None:
    seg.SegmentSequence[0].SegmentLabel = text
    with pytest.raises(DeployError, match="SegmentLabel holds a path"):
        check_identifiers(seg, sources(image))


def test_results_are_all_written_or_none(
    image: SourceImage, seg: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = write_results([seg], sources(image), tmp_path)
    assert pydicom.dcmread(path).SOPInstanceUID == path.stem
    second = pydicom.dcmread(path)
    second.SOPInstanceUID = second.file_meta.MediaStorageSOPInstanceUID = highdicom.UID()
    path.unlink()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(second, "save_as", full)
    with pytest.raises(DeployError, match="cannot be written"):
        write_results([seg, second], sources(image), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(image: SourceImage, seg: Dataset, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DeployError, match="cannot be written"):
        write_results([seg], sources(image), tmp_path / "file" / "out")


def words_of(dataset: Dataset) -> set[str]:
    """Words that could be the name of a machine, out of all texts of a result but the patient's."""
    texts = [
        str(element.value)
        for element in [*dataset.file_meta, *dataset.iterall()]
        if element.VR in identifiers.TEXT and element.keyword not in identifiers.OF_SOURCE
    ]
    return {word for word in re.findall(r"[\w-]+", " ".join(texts)) if len(word) >= identifiers.SHORTEST_HOST}


def test_no_word_of_a_result_is_taken_for_the_machine(
    image: SourceImage, monkeypatch: pytest.MonkeyPatch, seg: Dataset
) -> None:
    bundle = Equipment("Brain tumor imaging", "0.1.0.dev0")
    names = ("background", "tumor", "left ventricle")
    labels = np.stack([body(i).astype(np.uint8) for i in range(SLICES)])
    results = [
        seg,
        write_segmentation(image, labels, names, bundle, highdicom.UID()),
        write_segmentation(image, 0 * labels, names, bundle, highdicom.UID()),
        classification_report([Scores(image, 0, np.array([0.2, 0.3, 0.5]))], names, False, bundle),
        detection_report([Boxes(image, 0, np.array([[1.0, 1, 5, 5, 1, 0.5]]))], names, bundle),
    ]
    hosts = {word for result in results for word in words_of(result)}
    assert {"imaging", "Image", "Segmentation", "tumor", "Imaging", "dev0"} <= hosts
    for host in sorted(hosts):
        monkeypatch.setattr(socket, "gethostname", lambda host=host: f"{host}.hospital.example")
        for result in results:
            check_identifiers(result, sources(image))
