"""Patients of DICOM files, for sets whose paths name nobody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lvm_med_monai.lists.cards import Card
from lvm_med_monai.lists.samples import Sample


def needs_headers(card: Card) -> bool:
    """Whether only the headers say who the patients are."""
    return card.layout.family == "dicom" and card.patient is None and card.split.unit == "patient"


def with_patients(card: Card, root: Path, samples: Sequence[Sample]) -> list[Sample]:
    """Samples with the PatientID of their first file as patient, if `needs_headers`; else as they are.

    The ids stay in memory: they decide the split and are written nowhere.

    Raises:
        ValueError: a file is no DICOM file, or does not say whose it is.
    """
    return [replace(s, patient=_patient(root, s)) for s in samples] if needs_headers(card) else list(samples)


def _patient(root: Path, sample: Sample) -> str:
    import pydicom

    path = root / sample.name
    file = min(child for child in path.iterdir() if child.is_file()) if path.is_dir() else path
    try:
        header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=["PatientID"])
    except (pydicom.errors.InvalidDicomError, OSError) as error:
        raise ValueError(f"{sample.name} is no DICOM file that can be read ({type(error).__name__})") from error
    if not header.get("PatientID"):
        raise ValueError(f"{sample.name} has no PatientID, so the set cannot be split by patient")
    return str(header.PatientID)
