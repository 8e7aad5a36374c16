"""SR of classes and boxes: readable, valid, right class, right place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from highdicom.sr import ComprehensiveSR, srread
from pydicom.sr.codedict import codes

from lvm_med_monai.apps.deploy.class_codes import (
    ANATOMY,
    CODE_LENGTH,
    FINDINGS,
    SCHEME,
    category,
    concept,
    private_concept,
)
from lvm_med_monai.apps.deploy.equipment import Equipment
from lvm_med_monai.apps.deploy.identifiers import check_identifiers
from lvm_med_monai.apps.deploy.reports import Boxes, Scores, classification_report, detection_report
from lvm_med_monai.apps.deploy.series import SourceImage, read_series
from tests.apps.deploy.reading import validate
from tests.apps.deploy.scenes import radiograph, ultrasound, volume

BUNDLE = Equipment("Test bundle", "0.1.0")
NAMES = ("glioma", "no tumour", "Pleural effusion")


def saved(result: ComprehensiveSR, image: SourceImage, folder: Path) -> ComprehensiveSR:
    check_identifiers(result, list(image.headers.values()))
    result.save_as(folder / "sr.dcm")
    validate(folder / "sr.dcm")
    return srread(folder / "sr.dcm")


def test_each_slice_has_its_class_and_all_probabilities(tmp_path: Path) -> None:
    (image,) = read_series(volume(tmp_path / "series", modality="MR", count=3).folder)
    values = np.array([[0.7, 0.2, 0.1], [0.05, 0.9, 0.05], [0.1, 0.1, 0.8]])
    report = classification_report([Scores(image, i, values[i]) for i in range(3)], NAMES, False, BUNDLE)
    groups = saved(report, image, tmp_path).content.get_image_measurement_groups()
    for index, (group, name) in enumerate(zip(groups, NAMES, strict=True)):
        (finding,) = group.get_qualitative_evaluations(codes.SCT.ImagingFinding)
        assert finding.value == concept(name)
        assert [item.value for item in group.get_measurements()] == pytest.approx(values[index])
        assert group.source_images[0].referenced_sop_instance_uid == image.header(index).SOPInstanceUID


@pytest.mark.parametrize(
    ("values", "found"),
    [
        pytest.param([0.9, 0.1, 0.6], ["glioma", "Pleural effusion"], id="two"),
        pytest.param([0.5, 0.1, 0.2], ["glioma"], id="exactly_half"),
        pytest.param([0.1, 0.2, 0.3], [], id="none"),
    ],
)
def test_independent_classes_are_found_from_one_half(values: list[float], found: list[str], tmp_path: Path) -> None:
    (image,) = read_series(radiograph(tmp_path / "series").folder)
    report = classification_report([Scores(image, 0, np.array(values))], NAMES, True, BUNDLE)
    (group,) = saved(report, image, tmp_path).content.get_image_measurement_groups()
    assert [item.value for item in group.get_qualitative_evaluations(codes.SCT.ImagingFinding)] == [
        concept(name) for name in found
    ]


def test_boxes_lie_on_their_frames(tmp_path: Path) -> None:
    (image,) = read_series(ultrasound(tmp_path / "series", frames=3).folder)
    boxes = [
        np.array([[1.5, 2.0, 10.0, 12.0, 1, 0.75]]),
        np.zeros((0, 6)),
        np.array([[0, 0, 4, 4, 0, 0.5], [5, 5, 9, 9, 2, 0.25]]),
    ]
    report = saved(detection_report([Boxes(image, i, boxes[i]) for i in range(3)], NAMES, BUNDLE), image, tmp_path)
    regions = report.content.get_planar_roi_measurement_groups()
    assert [region.finding_type for region in regions] == [concept(NAMES[k]) for k in (1, 0, 2)]
    assert regions[0].roi.value.tolist() == [[1.5, 2], [10, 2], [10, 12], [1.5, 12], [1.5, 2]]
    assert [region.roi.ContentSequence[0].referenced_frame_numbers for region in regions] == [[1], [3], [3]]
    assert [region.get_measurements()[0].value for region in regions] == [0.75, 0.5, 0.25]
    counts = [group.get_measurements()[0].value for group in report.content.get_image_measurement_groups()]
    assert counts == [1, 0, 2]


def test_no_boxes_at_all_still_name_what_was_looked_at(tmp_path: Path) -> None:
    (image,) = read_series(radiograph(tmp_path / "series").folder)
    report = saved(detection_report([Boxes(image, 0, np.zeros((0, 6)))], NAMES, BUNDLE), image, tmp_path)
    assert report.content.get_planar_roi_measurement_groups() == []
    (group,) = report.content.get_image_measurement_groups()
    assert group.source_images[0].referenced_sop_instance_uid == image.header(0).SOPInstanceUID


@pytest.mark.parametrize("name", [*ANATOMY, *FINDINGS])
def test_known_names_have_codes_of_snomed(name: str) -> None:
    assert concept(name.upper().replace(" ", "_")).scheme_designator == "SCT"


def test_other_names_have_private_codes_that_differ_and_fit() -> None:
    names = ["pleural effusion", "pleural effusion left", "pleural effusion right", "Rétinopathie", "???"]
    made = [private_concept(name) for name in names]
    assert len({code.value for code in made}) == len(names)
    assert all(0 < len(code.value) <= CODE_LENGTH and code.scheme_designator == SCHEME for code in made)
    assert [code.meaning for code in made] == names


@pytest.mark.parametrize(
    ("name", "abnormal"),
    [
        ("liver", False),
        ("enhancing_tumor", True),
        ("colon polyp", True),
        ("left ventricle", False),
        ("unheard of", False),
    ],
)
def test_category_tells_anatomy_from_findings(name: str, abnormal: bool) -> None:
    structure = codes.SCT.MorphologicallyAbnormalStructure if abnormal else codes.SCT.AnatomicalStructure
    assert category(name) == structure
