"""DICOM SEG with every segment under its own name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from fastapi import HTTPException
from monai.transforms import LoadImage
from monailabel.datastore.utils.convert import nifti_to_dicom_seg

from lvm_med_monai.apps.label.segments import segments_for


def mask_to_dicom_seg(
    series_dir: str, label: str, label_info: Sequence[Mapping[str, Any]] | None, **options: Any
) -> str:
    """MONAI Label's ``nifti_to_dicom_seg`` with descriptions chosen by `segments_for`.

    Raises:
        HTTPException: the mask is empty (a DICOM SEG holds at least one segment), or a value has no description.
    """
    mask = np.asarray(LoadImage(image_only=True)(label))
    present = [int(value) for value in np.unique(mask) if value]
    if not present:
        raise HTTPException(422, detail="the mask is empty: there is nothing to put into a DICOM SEG")
    try:
        described = segments_for(present, label_info)
    except ValueError as error:
        raise HTTPException(422, detail=str(error)) from error
    return str(nifti_to_dicom_seg(series_dir, label, described, **options))
