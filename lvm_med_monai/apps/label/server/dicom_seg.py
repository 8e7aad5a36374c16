"""DICOM SEG with every segment under its own name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
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

    A mask that cannot be written is removed: it is a temporary file, which MONAI Label forgets after an error.

    Raises:
        HTTPException: the mask is empty (a DICOM SEG holds at least one segment), a value has no description, or the
            series and the mask do not fit each other.
    """
    try:
        described = segments_for(_values_of(label), label_info)
        made = str(nifti_to_dicom_seg(series_dir, label, described, **options))
        if not Path(made).is_file():
            raise ValueError("no DICOM SEG could be made of mask and series: the server's log says why")
    except (ValueError, TypeError) as error:  # TypeError: a colour or an attribute of another type
        Path(label).unlink(missing_ok=True)
        raise HTTPException(422, detail=str(error)) from error
    return made


def _values_of(label: str) -> list[int]:
    mask = np.asarray(LoadImage(image_only=True)(label))
    present = [int(value) for value in np.unique(mask) if value]
    if not present:
        raise ValueError("the mask is empty: there is nothing to put into a DICOM SEG")
    return present
