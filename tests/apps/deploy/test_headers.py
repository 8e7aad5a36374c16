"""What results repeat of headers that old and careless writers made."""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from lvm_med_monai.apps.deploy.equipment import Equipment
from lvm_med_monai.apps.deploy.output import write_results
from lvm_med_monai.apps.deploy.problems import DeployError, refused_header
from lvm_med_monai.apps.deploy.reports import Scores, classification_report
from lvm_med_monai.apps.deploy.segmentation_object import write_segmentation
from lvm_med_monai.apps.deploy.series import SourceImage, read_series
from tests.apps.deploy.reading import validate
from tests.apps.deploy.scenes import body, volume

BUNDLE = Equipment("Test bundle", "0.1.0")


def element(keyword: str, vr: str, value: bytes) -> bytes:
    """An element in explicit little endian."""
    tag, padding = Tag(tag_for_keyword(keyword)), b" " * (len(value) % 2)
    return struct.pack("<HH2sH", tag.group, tag.element, vr.encode(), len(value + padding)) + value + padding


def series_with(folder: Path, **values: bytes | None) -> Path:
    """Two CT slices whose headers hold these bytes, which pydicom would not write; None takes an attribute away."""
    for path in volume(folder, count=2).folder.iterdir():
        dataset = pydicom.dcmread(path)
        for keyword in values.keys() - {"SpecificCharacterSet"}:
            dataset[keyword] = DataElement(tag_for_keyword(keyword), "LT", f"marks {keyword}")
        dataset.save_as(path)
        content = path.read_bytes()
        for keyword, value in values.items():
            old = element(keyword, "LT", f"marks {keyword}".encode())
            if keyword == "SpecificCharacterSet":
                old = element(keyword, "CS", b"ISO_IR 192")
            assert content.count(old) == 1
            content = content.replace(old, b"" if value is None else element(keyword, dictionary_VR(keyword), value))
        path.write_bytes(content)
    return folder


def seg_of(image: SourceImage) -> Dataset:
    labels = np.stack([body(i).astype(np.uint8) for i in range(2)])
    return write_segmentation(image, labels, ("background", "tumor"), BUNDLE, highdicom.UID())


def report_of(image: SourceImage) -> Dataset:
    return classification_report([Scores(image, 0, np.array([0.2, 0.8]))], ("a", "b"), False, BUNDLE)


def results_of(image: SourceImage, folder: Path) -> list[Dataset]:
    """A SEG and an SR, validated and as others read them."""
    paths = write_results([seg_of(image), report_of(image)], list(image.headers.values()), folder)
    for path in paths:
        validate(path)
    return [pydicom.dcmread(path) for path in paths]


KANJI = "Yamada^Tarou=山田^太郎=やまだ^たろう"
HANGUL = "Hong^Gildong=洪^吉洞=홍^길동"
LATIN = "Öztürk^Ayşe"


def encoded(name: str, encoding: str) -> bytes:
    return b"=".join(group.encode(encoding) for group in name.split("="))


@pytest.mark.parametrize(
    ("sets", "name", "expected"),
    [
        pytest.param(b"\\ISO 2022 IR 87", encoded(KANJI, "iso2022_jp"), KANJI, id="japanese"),
        pytest.param(
            b"\\ISO 2022 IR 149",
            b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
            HANGUL,
            id="korean",
        ),
        pytest.param(b"ISO_IR 148", encoded(LATIN, "iso8859_9"), LATIN, id="turkish"),
        pytest.param(b"GB18030", encoded("Wang^Xiao=王^小", "gb18030"), "Wang^Xiao=王^小", id="chinese"),
        pytest.param(None, "Müller^Jörg".encode("latin-1"), "Müller^Jörg", id="none_named"),
    ],
)
def test_names_in_every_script_come_through(sets: bytes | None, name: bytes, expected: str, tmp_path: Path) -> None:
    (image,) = read_series(series_with(tmp_path / "series", SpecificCharacterSet=sets, PatientName=name))
    for result in results_of(image, tmp_path / "out"):
        assert (result.SpecificCharacterSet, str(result.PatientName)) == ("ISO_IR 192", expected)


@pytest.mark.parametrize(
    ("keyword", "value", "expected"),
    [
        ("StudyDate", b"2024.03.05", "20240305"),
        ("PatientBirthDate", b"1970.01.02", "19700102"),
        ("StudyTime", b"10:11:12", "101112"),
        ("StudyTime", b"10:11:12.25", "101112.25"),
        ("PatientSex", b"f", "F"),
    ],
)
def test_old_forms_become_todays(keyword: str, value: bytes, expected: str, tmp_path: Path) -> None:
    (image,) = read_series(series_with(tmp_path / "series", **{keyword: value}))
    for result in results_of(image, tmp_path / "out"):
        assert str(result[keyword].value) == expected


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientBirthDate", b"1970-01-02"),
        ("PatientBirthDate", b"19700231"),
        ("PatientSex", b"X"),
        ("PatientAge", b"25"),
        ("PatientWeight", b"70 kg"),
        ("AccessionNumber", b"A-0123456789-0123"),
        ("StudyDescription", b"Thorax\r\nnativ"),
        ("ReferringPhysicianName", b"Dr\\Dr"),
    ],
)
def test_what_dicom_does_not_allow_is_left_out_and_said_without_the_value(
    keyword: str, value: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = series_with(tmp_path / "series", **{keyword: value})
    with caplog.at_level(logging.WARNING, "lvm_med_monai"):
        (image,) = read_series(source)
    assert [result.get(keyword, "") or "" for result in results_of(image, tmp_path / "out")] == ["", ""]
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("lvm_med_monai")]
    assert lines == [f"{keyword} is left out of results, as DICOM does not allow the source's value"]


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"PatientID": b"P" * 65}, id="long_id"),
        pytest.param({"PatientID": b"P-1\\P-2"}, id="two_ids"),
        pytest.param({"PatientName": b"N" * 65}, id="long_name"),
        pytest.param({"PatientName": b"\xd6zt\xfcrk", "SpecificCharacterSet": b"ISO_IR 192"}, id="wrong_encoding"),
        pytest.param({"PatientName": b"\xd6zt\xfcrk", "SpecificCharacterSet": b"ISO_IR 999"}, id="unknown_encoding"),
        pytest.param({"FrameOfReferenceUID": b"1.02.3"}, id="zeroes"),
        pytest.param({"StudyInstanceUID": b"1.2.x"}, id="letters"),
    ],
)
def test_identifiers_that_dicom_does_not_allow_are_refused(values: dict[str, bytes], tmp_path: Path) -> None:
    keyword, value = next(iter(values.items()))
    with pytest.raises(DeployError, match=f"its {keyword} is not what DICOM allows.*correct it") as caught:
        read_series(series_with(tmp_path / "series", **values))
    assert value.decode("latin-1") not in str(caught.value)


@pytest.mark.parametrize("write", [seg_of, report_of])
def test_what_highdicom_refuses_is_named_without_its_value(
    write: Callable[[SourceImage], Dataset], tmp_path: Path
) -> None:
    (image,) = read_series(volume(tmp_path / "series", count=2).folder)
    for header in image.headers.values():
        header.PatientSex = "X"
    with pytest.raises(DeployError, match=r"highdicom refuses its header \(ValueError, at PatientSex\)"):
        write(image)


def test_an_error_without_a_known_value_quotes_nothing() -> None:
    error = refused_header("a SEG", ValueError("day of 19700231 is out of range"), [Dataset()])
    assert str(error).startswith("a SEG cannot refer to this series: highdicom refuses its header (ValueError)")
    assert "1970" not in str(error)
