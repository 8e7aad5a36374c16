"""Headers of source files, reduced to what a result may repeat.

Writers see nothing else of the source, so nothing else can reach the output.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import pydicom
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset

from lvm_med_monai.apps.deploy.problems import DeployError
from lvm_med_monai.apps.deploy.source_values import clean_value, knows_characters

_log = logging.getLogger(__name__)

PATIENT = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
)
"""Attributes of the patient that a result repeats, so that archives file it with its patient."""
STUDY = (
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "StudyDescription",
    "AccessionNumber",
    "ReferringPhysicianName",
)
"""Attributes of the study, for the same reason."""
IMAGE = (
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "Modality",
    "FrameOfReferenceUID",
    "PositionReferenceIndicator",
    "PatientOrientation",
    "SliceThickness",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
    "NumberOfFrames",
)
"""Attributes that say to which image a result belongs."""
IDENTIFYING = ("PatientName", "PatientID")
"""Attributes without which a result would be filed with another patient or with none."""
SAME_IN_SERIES = ("StudyInstanceUID", "SeriesInstanceUID", "PatientID", "PatientName", "PatientBirthDate")
REQUIRED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
EMPTY_ALLOWED = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
)
"""Attributes that every result must have, empty where the source has none (type 2)."""
KEYWORDS = PATIENT + STUDY + IMAGE


def read_headers(paths: Sequence[Path]) -> dict[Path, Dataset]:
    """Reduced headers of the files of one series.

    The SOP class and instance are taken from the file meta information where the data set leaves them empty: they are
    equal by definition (PS3.10 section 7.1).

    Values are those of `source_values.clean_value`; what it does not allow is left out, which is logged.

    Raises:
        DeployError: an identifier that a result must refer to is empty or not what DICOM allows, files disagree in
            patient or study, or an instance comes twice.
    """
    notes: set[str] = set()
    headers = {path: _reduced(path, notes) for path in paths}
    for note in sorted(notes):
        _log.warning(note)
    for keyword in SAME_IN_SERIES:
        if len({str(header.get(keyword, "")) for header in headers.values()}) > 1:
            raise DeployError(
                f"the files of one series disagree in {keyword}: the folder mixes patients, studies or series; "
                "give a folder with one series"
            )
    if len({header.SOPInstanceUID for header in headers.values()}) < len(headers):
        raise DeployError("two files hold the same instance (SOPInstanceUID); remove the copies")
    return headers


def _reduced(path: Path, notes: set[str]) -> Dataset:
    source = _read(path)
    reduced = Dataset()
    reduced.SpecificCharacterSet = "ISO_IR 192"  # texts are decoded here, and results hold them in UTF-8
    _copy_values(source, reduced, path.name, notes)
    meta = getattr(source, "file_meta", Dataset())
    for keyword, spare in (
        ("SOPClassUID", "MediaStorageSOPClassUID"),
        ("SOPInstanceUID", "MediaStorageSOPInstanceUID"),
    ):
        if keyword not in reduced and spare in meta:
            setattr(reduced, keyword, meta[spare].value)
    for keyword in EMPTY_ALLOWED:
        if keyword not in reduced:
            setattr(reduced, keyword, "")
    _shared_thickness(source, reduced)
    if missing := [keyword for keyword in REQUIRED if not reduced.get(keyword)]:
        cure = "python -m lvm_med_monai.apps.deploy.complete_series fills in new ones"
        if "SOPClassUID" in missing:
            cure = "have the sender export it again, as the kind of image cannot be made up"
        raise DeployError(f"{path.name} has no {' and no '.join(missing)}, and a result must name its source; {cure}")
    return reduced


def _copy_values(source: Dataset, reduced: Dataset, name: str, notes: set[str]) -> None:
    known_characters = knows_characters(source)
    for keyword in KEYWORDS:
        value = clean_value(source, keyword, known_characters) if keyword in source else ""
        if value is None and (keyword in IDENTIFYING or dictionary_VR(keyword) == "UI"):
            raise DeployError(
                f"{name}: its {keyword} is not what DICOM allows, and a result would repeat it; have the sender or a "
                "de-identifier correct it"
            )
        if value is None:
            notes.add(f"{keyword} is left out of results, as DICOM does not allow the source's value")
        elif value != "":
            setattr(reduced, keyword, value)
            if not str(value).isascii() and not source.get("SpecificCharacterSet"):
                notes.add(f"{keyword} is read as Latin-1, as the source names no character set")


def _read(path: Path) -> Dataset:
    tags: list[str | int] = [
        tag for keyword in (*KEYWORDS, "SharedFunctionalGroupsSequence") if (tag := tag_for_keyword(keyword))
    ]
    try:
        return pydicom.dcmread(path, stop_before_pixels=True, specific_tags=tags, force=True)
    except Exception as error:  # pydicom raises many types on damaged files
        raise DeployError(f"{path.name}: the header cannot be read ({type(error).__name__})") from error


def _shared_thickness(source: Dataset, reduced: Dataset) -> None:
    """Multi-frame files keep the thickness of their slices in the shared functional groups."""
    groups = source.get("SharedFunctionalGroupsSequence")
    measures = groups[0].get("PixelMeasuresSequence") if groups else None
    if measures and "SliceThickness" not in reduced and "SliceThickness" in measures[0]:
        reduced.SliceThickness = measures[0].SliceThickness
