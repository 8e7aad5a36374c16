"""Classes and boxes -> DICOM Comprehensive SR by the Measurement Report template (TID 1500).

Rules:
    * One report for a series. Each slice that was looked at has a measurement group of its own, which refers to the
      file and, for multi-frame files, to the frame.
    * Classification: the finding of a group is the most probable class, or, where classes are independent of each
      other, every class of at least 0.5; the probability of every class is a measurement.
    * Detection: each box is a closed polyline in pixels of its frame, with class and score. Each slice also has a group
      with its number of boxes, so that a report without boxes says where nothing was found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import highdicom
import numpy as np
from highdicom import sr
from numpy.typing import NDArray
from pydicom.sr.codedict import codes

from lvm_med_monai.apps.deploy.class_codes import concept, private_concept, words
from lvm_med_monai.apps.deploy.equipment import MANUFACTURER, SERIES_NUMBER, Equipment
from lvm_med_monai.apps.deploy.problems import refused_header
from lvm_med_monai.apps.deploy.series import SourceImage

THRESHOLD = 0.5
"""Probability from which an independent class counts as found."""
DEVICE_UID = "2.25.168413923744129236427836218327604812"
"""Identifies this software as the observer; any hospital's run has the same."""


@dataclass(frozen=True, eq=False)
class Scores:
    """Probabilities of one slice: (classes,)."""

    image: SourceImage
    index: int
    values: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Boxes:
    """Boxes of one slice: (n, 6) x1, y1, x2, y2, class, score; x along columns, y along rows, in pixel edges."""

    image: SourceImage
    index: int
    values: NDArray[np.float64]


def classification_report(
    slices: Sequence[Scores], class_names: Sequence[str], multi_label: bool, equipment: Equipment
) -> sr.ComprehensiveSR:
    """Report of the classes of every slice."""
    groups = []
    for number, scores in enumerate(slices, 1):
        probabilities = [
            sr.Measurement(private_concept(f"probability of {words(name)}"), round(float(value), 6), codes.UCUM.NoUnits)
            for name, value in zip(class_names, scores.values, strict=True)
        ]
        findings = [concept(class_names[k]) for k in _found(scores.values, multi_label)]
        groups.append(_group(number, scores, probabilities, findings))
    return _report(slices, groups, equipment, f"Classification by {equipment.model}")


def detection_report(slices: Sequence[Boxes], class_names: Sequence[str], equipment: Equipment) -> sr.ComprehensiveSR:
    """Report of the boxes of every slice."""
    groups: list[sr.MeasurementsAndQualitativeEvaluations] = []
    for number, boxes in enumerate(slices, 1):
        count = sr.Measurement(private_concept("number of boxes"), len(boxes.values), codes.UCUM.NoUnits)
        groups.append(_group(number, boxes, [count], []))
        for x1, y1, x2, y2, label, score in boxes.values:
            corners = np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2], [x1, y1]])
            region = sr.ImageRegion(
                sr.GraphicTypeValues.POLYLINE,
                corners,
                sr.SourceImageForRegion(*_place(boxes.image, boxes.index)),
            )
            groups.append(
                sr.PlanarROIMeasurementsAndQualitativeEvaluations(
                    tracking_identifier=sr.TrackingIdentifier(highdicom.UID(), f"Box on image {number}"),
                    referenced_region=region,
                    finding_type=concept(class_names[int(label)]),
                    measurements=[
                        sr.Measurement(private_concept("detection score"), round(float(score), 6), codes.UCUM.NoUnits)
                    ],
                )
            )
    return _report(slices, groups, equipment, f"Detection by {equipment.model}")


def _found(values: NDArray[np.float64], multi_label: bool) -> list[int]:
    if multi_label:
        return [int(k) for k in np.flatnonzero(values >= THRESHOLD)]
    return [int(np.argmax(values))]


def _group(
    number: int, item: Scores | Boxes, measurements: list[sr.Measurement], findings: list[sr.CodedConcept]
) -> sr.MeasurementsAndQualitativeEvaluations:
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(highdicom.UID(), f"Image {number}"),
        source_images=[sr.SourceImageForMeasurementGroup(*_place(item.image, item.index))],
        measurements=measurements,
        qualitative_evaluations=[sr.QualitativeEvaluation(codes.SCT.ImagingFinding, finding) for finding in findings],
    )


def _place(image: SourceImage, index: int) -> tuple[str, str, list[int] | None]:
    """SOP class, instance and frame numbers of a slice."""
    header, frame = image.header(index), image.frames[index]
    return header.SOPClassUID, header.SOPInstanceUID, None if frame is None else [frame]


def _report(
    slices: Sequence[Scores] | Sequence[Boxes],
    groups: list[sr.MeasurementsAndQualitativeEvaluations],
    equipment: Equipment,
    title: str,
) -> sr.ComprehensiveSR:
    """Report of measurement groups; raises DeployError if highdicom refuses the source."""
    evidence = {header.SOPInstanceUID: header for item in slices for header in item.image.headers.values()}
    device = sr.ObserverContext(
        codes.DCM.Device,
        sr.DeviceObserverIdentifyingAttributes(
            uid=DEVICE_UID, name=MANUFACTURER, manufacturer_name=MANUFACTURER, model_name=equipment.model[:64]
        ),
    )
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=device),
        procedure_reported=codes.SCT.ImagingProcedure,
        imaging_measurements=groups or None,
        title=codes.DCM.ImagingMeasurementReport,
    )
    try:
        return sr.ComprehensiveSR(
            evidence=list(evidence.values()),
            content=content,
            series_instance_uid=highdicom.UID(),
            series_number=SERIES_NUMBER,
            sop_instance_uid=highdicom.UID(),
            instance_number=1,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=equipment.model[:64],
            software_versions=equipment.software,
            device_serial_number=equipment.version or "0",
            series_description=title[:64],
            is_complete=True,
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise refused_header("a report", error, evidence.values()) from error
