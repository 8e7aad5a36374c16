"""The demo's CT series as a scanner would send it: with identifiers, and with pixels that every viewer decodes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import SimpleITK
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

STUDY = "1.2.826.0.1.3680043.8.498.1"
SERIES = "1.2.826.0.1.3680043.8.498.2"


def complete_series(source: Path, out: Path, patient: str = "DEMO") -> list[Path]:
    """Copy a CT series whose identifiers were emptied, JPEG 2000 unpacked (Orthanc 1.10 cannot unpack it)."""
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for number, path in enumerate(sorted(source.iterdir())):
        item = pydicom.dcmread(path)
        values = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))[0]
        stored = (values - float(item.RescaleIntercept)) / float(item.RescaleSlope)
        item.PixelData = np.rint(stored).astype(np.uint16).tobytes()
        item["PixelData"].VR = "OW"
        item["PixelData"].is_undefined_length = False
        item.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        item.SOPClassUID = item.file_meta.MediaStorageSOPClassUID = CTImageStorage
        item.SOPInstanceUID = item.file_meta.MediaStorageSOPInstanceUID = f"{SERIES}.{number + 1}"
        item.StudyInstanceUID, item.SeriesInstanceUID, item.PatientID = STUDY, SERIES, patient
        item.PatientName, item.StudyID, item.SeriesNumber = "Demo^CT", "1", 1
        item.is_little_endian, item.is_implicit_VR = True, False
        written.append(out / f"{number:03}.dcm")
        item.save_as(written[-1], write_like_original=False)
    return written
