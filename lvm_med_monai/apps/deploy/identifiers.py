"""What leaves the application may name its source series and nothing else.

Every element of a result is compared with the source before it is written. An element that is on none of the lists
below stops the run, so that a new version of a library cannot slip one in.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Iterator, Sequence

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from lvm_med_monai.apps.deploy.headers import PATIENT, STUDY
from lvm_med_monai.apps.deploy.problems import DeployError

OF_SOURCE = frozenset([*PATIENT, *STUDY, "PositionReferenceIndicator", "PatientOrientation", "FrameOfReferenceUID"])
"""Attributes that, wherever they stand, must have the source's value."""
SOURCE_UIDS = frozenset(["ReferencedSOPInstanceUID"])
"""References, which must be to files of the source."""
NEW_UIDS = frozenset(
    [
        "SOPInstanceUID",
        "SeriesInstanceUID",
        "DimensionOrganizationUID",
        "TrackingUID",
        "UID",
        "MediaStorageSOPInstanceUID",
    ]
)
"""UIDs that are made for the result."""
STANDARD_UIDS = frozenset(
    [
        *("SOPClassUID", "ReferencedSOPClassUID", "MediaStorageSOPClassUID", "TransferSyntaxUID", "MappingResourceUID"),
        *("ContextUID", "ImplementationClassUID"),
    ]
)
"""UIDs out of the standard or of the library that writes the file."""
OWN_TEXT = frozenset(
    [
        *("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "DeviceSerialNumber", "SeriesDescription"),
        *("ContentLabel", "ContentDescription", "SegmentLabel", "SegmentAlgorithmName", "AlgorithmName"),
        *("AlgorithmVersion", "AlgorithmSource", "CodeValue", "CodingSchemeDesignator", "CodingSchemeVersion"),
        *("CodeMeaning", "StackID", "DimensionDescriptionLabel", "TextValue", "TrackingID", "FrameLabel"),
        *("ImplementationVersionName", "ContributionDescription"),
    ]
)
"""Texts that the writers make, out of the package's and the bundle's own words."""
OWN_TIMES = frozenset(
    [
        *("InstanceCreationDate", "InstanceCreationTime", "ContentDate", "ContentTime", "SeriesDate", "SeriesTime"),
        *("DateTime", "ObservationDateTime", "ContributionDateTime"),
    ]
)
VOCABULARY = frozenset(
    [
        *("CodeMeaning", "CodeValue", "CodingSchemeDesignator", "SegmentLabel", "DimensionDescriptionLabel"),
        *("ImplementationVersionName", "ManufacturerModelName", "SegmentAlgorithmName", "AlgorithmName"),
        *("SoftwareVersions", "AlgorithmVersion", "DeviceSerialNumber", "Manufacturer", "ContributionDescription"),
    ]
)
"""Texts of the standard, of libraries and of the bundle's metadata, in which the name of a machine is a mere word."""
OWN_WORDS = frozenset(
    [
        *("box", "boxes", "by", "classification", "detection", "foreground", "found", "image", "no", "on"),
        *("segmentation", "lvm_med_monai"),
    ]
)
"""Words of the texts that the writers make, lower case."""
TEXT = frozenset(["AE", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"])
TIMES = frozenset(["AS", "DA", "DT", "TM"])
PATH = re.compile(r"(?:^|[\s\"'(=])(?:[A-Za-z]:\\|\\\\|~?/)[\w.-]+|file:")
"""The start of an absolute path."""
SLASHED_WORD = re.compile(r"(?<=\s)/(?=\w+(?:[\s,;)]|$))")
"""The slash of `benign /malignant`, which may stand in a class name."""
SHORTEST_HOST = 4
"""Host names of fewer letters are words too easily to be looked for."""


def check_identifiers(result: Dataset, sources: Sequence[Dataset]) -> None:
    """Refuse a result that names anything but its source series.

    Args:
        result: what is to be written.
        sources: reduced headers of the files of the series.

    Raises:
        DeployError: naming the attribute and what is wrong with it, without its value.
    """
    named = str(result.get("ManufacturerModelName", ""))
    allowed = _Allowed(sources, frozenset(re.split(r"[^\w-]+", named.lower())))
    meta = getattr(result, "file_meta", None) or ()
    for element, nested in [*((element, False) for element in meta), *_elements(result, nested=False)]:
        if fault := allowed.fault(element, nested):
            raise DeployError(
                f"the result was not written: its attribute {element.keyword or element.tag} {fault}; "
                "results carry only the identifiers of their source series"
            )


class _Allowed:
    def __init__(self, sources: Sequence[Dataset], words_of_bundle: frozenset[str]) -> None:
        self.values = {
            keyword: {str(source.get(keyword, "")) for source in sources} | {"", "None"} for keyword in OF_SOURCE
        }
        self.instances = {str(source.SOPInstanceUID) for source in sources}
        self.series = {str(source.SeriesInstanceUID) for source in sources}
        host = socket.gethostname().split(".")[0].lower()
        looked_for = len(host) >= SHORTEST_HOST and host not in OWN_WORDS | words_of_bundle
        self.host = re.compile(rf"\b{re.escape(host)}\b", re.IGNORECASE) if looked_for else None

    def fault(self, element: DataElement, nested: bool) -> str:
        keyword = str(element.keyword)
        if element.tag.is_private:
            return "is private"
        if keyword in OF_SOURCE:
            return "" if str(element.value) in self.values[keyword] else "differs from the source's"
        if element.VR == "UI":
            return self._uid_fault(keyword, _texts(element), nested)
        if element.VR in TIMES:
            return "" if keyword in OWN_TIMES or element.is_empty else "is a date or time that no result has"
        if element.VR in TEXT and not element.is_empty:
            return self._text_fault(keyword, _texts(element))
        return ""

    def _uid_fault(self, keyword: str, uids: list[str], nested: bool) -> str:
        if keyword in SOURCE_UIDS:
            return "" if set(uids) <= self.instances else "refers to a file outside of the series"
        if keyword == "SeriesInstanceUID" and nested:
            return "" if set(uids) <= self.series else "refers to another series"
        if keyword in NEW_UIDS:
            return "repeats an identifier of the source" if set(uids) & (self.instances | self.series) else ""
        return "" if keyword in STANDARD_UIDS else "is a UID that no result has"

    def _text_fault(self, keyword: str, texts: list[str]) -> str:
        if keyword not in OWN_TEXT:
            return "is a text that no result has"
        # DICOM takes the backslashes of a path for separators of values.
        searched = (*texts, "\\".join(texts))
        if keyword in VOCABULARY:
            searched = tuple(SLASHED_WORD.sub(" ", text) for text in searched)
        if any(PATH.search(text) for text in searched):
            return "holds a path"
        if self.host is not None and keyword not in VOCABULARY and any(self.host.search(text) for text in texts):
            return "holds the name of this machine"
        return ""


def _texts(element: DataElement) -> list[str]:
    values: Iterable[object] = element.value if element.VM > 1 else [element.value]
    return [str(value) for value in values]


def _elements(dataset: Dataset, nested: bool) -> Iterator[tuple[DataElement, bool]]:
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from _elements(item, nested=True)
        else:
            yield element, nested
