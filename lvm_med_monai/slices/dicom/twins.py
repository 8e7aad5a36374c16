"""Radiographs that come twice: as the detector gave them, and processed for people (PS3.3 C.8.11.1)."""

from __future__ import annotations

from collections.abc import Iterable

from lvm_med_monai.slices.dicom.frames import Frame
from lvm_med_monai.slices.dicom.image import Image

PROCESSING, PRESENTATION = "FOR PROCESSING", "FOR PRESENTATION"


def unprocessed_twins(frames: Iterable[Frame]) -> list[Image]:
    """Files for processing whose study holds a file for presentation of the same modality, side and view.

    Returns:
        Each file once, in the order of ``frames``.
    """
    images = list({frame.image.path: frame.image for frame in frames if frame.image.intent}.values())
    shown = {examination(image) for image in images if image.intent == PRESENTATION and image.study_id}
    return [image for image in images if image.intent == PROCESSING and examination(image) in shown]


def examination(image: Image) -> tuple[str, ...]:
    """What the two twins agree in: study, modality, side and view."""
    return (image.study_id, image.modality, *image.view)
