"""Series of a DICOMweb server, without copies and identifiers that nobody needs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import monailabel.datastore.dicom
import monailabel.interfaces.app
from monailabel.datastore.dicom import DICOMWebDatastore
from monailabel.datastore.local import LocalDatastore

from lvm_med_monai.apps.label.guard import RefusedError
from lvm_med_monai.apps.label.server.dicom_seg import mask_to_dicom_seg
from lvm_med_monai.apps.label.server.dicom_series import checked_dicom_to_nifti

NOTED = ("SeriesInstanceUID", "StudyInstanceUID", "Modality", "RetrieveURL")
"""What is noted of a series: clients find it by that, and neither notes nor the log need the patient."""


class SeriesDatastore(DICOMWebDatastore):
    """Series that MONAI Label fetches and keeps as NIfTI in the workspace."""

    def get_image_uri(self, image_id: str) -> str:
        """Path of a series' volume in the workspace; MONAI Label leaves a second copy among temporary files."""
        kept = os.path.realpath(os.path.join(self._datastore.image_path(), f"{image_id}.nii.gz"))
        return self._kept(str(super().get_image_uri(image_id)), kept)

    def get_label_uri(self, label_id: str, label_tag: str, image_id: str = "") -> str:
        """Path of a label in the workspace."""
        made = super().get_label_uri(label_id, label_tag, image_id)
        return self._kept(str(made or ""), LocalDatastore.get_label_uri(self, image_id or label_id, label_tag))

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """Refused.

        Raises:
            RefusedError: always: nobody would be offered the image.
        """
        raise RefusedError("images of these studies lie on the DICOMweb server: send them there")

    def _dicom_info(self, series_id: str) -> dict[str, str]:
        return {name: value for name, value in super()._dicom_info(series_id).items() if name in NOTED}

    @staticmethod
    def _kept(made: str, kept: str) -> str:
        if not kept or made == kept or not os.path.exists(kept):
            return made
        if made:
            Path(made).unlink(missing_ok=True)
        return kept


# MONAI Label stacks slices of several planes, and names segments by their position among those that are not empty
monailabel.datastore.dicom.dicom_to_nifti = checked_dicom_to_nifti
monailabel.datastore.dicom.nifti_to_dicom_seg = mask_to_dicom_seg
monailabel.interfaces.app.DICOMWebDatastore = SeriesDatastore
