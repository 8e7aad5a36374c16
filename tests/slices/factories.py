"""Tiny files for tests: DICOM series with one oddity each, and volumes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, EnhancedMRImageStorage, ExplicitVRLittleEndian, RLELossless, generate_uid

REPOSITORY = Path(__file__).resolve().parents[2]
DEMO = REPOSITORY / "demo_data"
CANARY = "CANARY^PATIENT"
"""Stands in every field that could name a patient."""
SPACING_Z = 2.5
ROWS, COLUMNS = 40, 48


def stored_pixels(index: int, rows: int = ROWS, columns: int = COLUMNS) -> NDArray[np.uint16]:
    """(rows, columns) values 0..4095 that differ in every slice and are not symmetric."""
    y, x = np.mgrid[:rows, :columns]
    return ((y * 37 + x * 11 + index * 501) % 4096).astype(np.uint16)


def dicom_slice(index: int, series: str = "1.2.3.4", **changes: Any) -> Dataset:
    """A CT slice at z = index * SPACING_Z; ``changes`` set attributes, None deletes them."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=[series, str(index)])
    dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.PatientID = CANARY
    dataset.PatientName = CANARY
    dataset.StudyInstanceUID = "1.2.3.999.1"
    dataset.SeriesInstanceUID = series
    dataset.Modality = "CT"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.InstanceNumber = index + 1
    dataset.ImagePositionPatient = [-20.0, -10.0, index * SPACING_Z]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing = [0.75, 0.5]
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    pixels = changes.pop("pixels", stored_pixels(index))
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    dataset.PixelData = pixels.tobytes()
    for name, value in changes.items():
        if value is None:
            delattr(dataset, name)
        else:
            setattr(dataset, name, value)
    return dataset


def save(dataset: Dataset, path: Path, preamble: bool = True) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=preamble)
    return path


def series(
    folder: Path, count: int = 6, change: Callable[[int], dict[str, Any]] = lambda i: {}, prefix: str = "a"
) -> list[Path]:
    """``count`` slices; ``change(i)`` returns the attributes that differ. File names are not in slice order."""
    names = np.random.default_rng(0).permutation(count)
    return [save(dicom_slice(i, **change(i)), folder / f"{prefix}{names[i]:03d}.dcm") for i in range(count)]


def compressed(index: int, uid: str, **changes: Any) -> Dataset:
    """A slice compressed by pydicom."""
    dataset = dicom_slice(index, **changes)
    plugin = "pydicom" if uid == RLELossless else ""
    dataset.compress(uid, encoding_plugin=plugin, generate_instance_uid=False)
    return dataset


def enhanced(order: list[int], slopes: list[float]) -> Dataset:
    """Enhanced multi-frame MR whose frame j shows slice ``order[j]``, each with its own rescale slope."""
    frames = np.stack([stored_pixels(i) for i in order])
    dataset = dicom_slice(0, pixels=frames, ImagePositionPatient=None, ImageOrientationPatient=None, PixelSpacing=None)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
    dataset.Modality, dataset.NumberOfFrames = "MR", len(order)
    del dataset.RescaleSlope, dataset.RescaleIntercept
    shared, orientation, measures = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    measures.PixelSpacing = [0.75, 0.5]
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = Sequence([orientation]), Sequence([measures])
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    groups = []
    for i, slope in zip(order, slopes, strict=True):
        own, position, rescale = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = [-20.0, -10.0, i * SPACING_Z]
        rescale.RescaleSlope, rescale.RescaleIntercept, rescale.RescaleType = slope, 0, "US"
        own.PlanePositionSequence = Sequence([position])
        own.PixelValueTransformationSequence = Sequence([rescale])
        groups.append(own)
    dataset.PerFrameFunctionalGroupsSequence = Sequence(groups)
    return dataset
