"""The series and volume on which `slices.py` measures: made from the demonstration's chest CT, the same every time."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless
from scipy import ndimage

ROOT = Path(__file__).resolve().parent.parent
CHEST = ROOT / "demo_data" / "chest_ct" / "ct.nii.gz"
EDGE = 512
SPACING = (2.5, 0.7, 0.7)
PADDING = -2000
"""Outside of the circle that a scanner reconstructs, HU."""
SYNTAXES = {"RLE": RLELossless, "JPEG-LS": JPEGLSLossless, "JPEG 2000": JPEG2000Lossless}


@dataclass(frozen=True)
class Data:
    """Files and the truth about them.

    Attributes:
        volume: (S, 512, 512) int16, HU, from feet to head, as DICOM stores it.
        series: folder of S uncompressed DICOM files; names and InstanceNumber are not in the order of position.
        nifti: .nii.gz file of the same voxels, alone in its folder, because ITK would read a .nii beside it instead.
        compressed: name of a transfer syntax -> folder with the first slices in it.
    """

    volume: NDArray[np.int16]
    series: Path
    nifti: Path
    compressed: dict[str, Path]


def ct_like(slices: int, seed: int = 0) -> NDArray[np.int16]:
    """Upsampled chest CT with noise of a scanner's strength and grain, (S, 512, 512) HU."""
    loaded = np.asarray(nibabel.load(CHEST).dataobj).astype(np.float32)
    chest = loaded.transpose(2, 1, 0)
    factors = [size / old for size, old in zip((slices, EDGE, EDGE), chest.shape, strict=True)]
    volume = ndimage.zoom(chest, factors, order=1)
    random = np.random.default_rng(seed)
    for plane in volume:
        plane += 7 * ndimage.gaussian_filter(random.normal(0, 2.2, plane.shape), 0.8).astype(np.float32)
    y, x = np.mgrid[:EDGE, :EDGE] - (EDGE - 1) / 2
    volume[:, np.hypot(x, y) > EDGE / 2] = PADDING
    return np.clip(np.rint(volume), PADDING, 3071).astype(np.int16)


def make(folder: Path, slices: int, compressed: int) -> Data:
    """Write the files.

    Args:
        folder: empty folder.
        slices: of the series and the volume.
        compressed: slices of each compressed series.
    """
    volume = ct_like(slices)
    series, nifti = folder / "series", folder / "nifti" / "ct.nii.gz"
    nifti.parent.mkdir(parents=True)
    names = np.random.default_rng(1).permutation(slices)
    write_series(volume, series, names)
    written = {name: folder / name.replace(" ", "") for name in SYNTAXES}
    for name, target in written.items():
        write_series(volume[:compressed], target, names[:compressed], SYNTAXES[name])
    affine = np.diag([-SPACING[2], -SPACING[1], SPACING[0], 1.0])
    image = nibabel.Nifti1Image(volume.transpose(2, 1, 0), affine)
    nifti.write_bytes(gzip.compress(image.to_bytes(), 6, mtime=0))
    return Data(volume, series, nifti, written)


def write_series(volume: NDArray[np.int16], folder: Path, names: NDArray[np.int64], syntax: str | None = None) -> None:
    """One file a slice, with the attributes of a usual CT; stored as signed HU."""
    folder.mkdir(parents=True)
    for index, pixels in enumerate(volume):
        dataset = _slice(pixels, index, len(volume))
        if syntax is not None:
            plugin = {"encoding_plugin": "pydicom"} if syntax == RLELossless else {}
            dataset.compress(syntax, generate_instance_uid=False, **plugin)
        dataset.save_as(folder / f"IM{names[index]:05d}.dcm", enforce_file_format=True)


def _slice(pixels: NDArray[np.int16], index: int, count: int) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.826.0.1.3680043.8.498.1.{index + 1}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.826.0.1.3680043.8.498.2", "1.2.826.0.1.3680043.8.498.3"
    dataset.FrameOfReferenceUID = "1.2.826.0.1.3680043.8.498.4"
    dataset.Modality, dataset.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.PatientName, dataset.PatientID, dataset.PatientSex, dataset.PatientAge = "NONE", "NONE", "O", "050Y"
    dataset.Manufacturer, dataset.ManufacturerModelName, dataset.StationName = "NONE", "NONE", "NONE"
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = "20200101"
    dataset.StudyTime = dataset.SeriesTime = dataset.AcquisitionTime = dataset.ContentTime = "120000"
    dataset.StudyDescription, dataset.SeriesDescription, dataset.ProtocolName = "CHEST", "SOFT 2.5", "CHEST"
    dataset.BodyPartExamined, dataset.PatientPosition, dataset.ConvolutionKernel = "CHEST", "HFS", "STANDARD"
    dataset.KVP, dataset.SliceThickness, dataset.DataCollectionDiameter = "120", "2.5", "500"
    dataset.XRayTubeCurrent, dataset.ExposureTime, dataset.Exposure = "300", "500", "150"
    dataset.SeriesNumber, dataset.AcquisitionNumber, dataset.InstanceNumber = 2, 1, count - index
    dataset.ImagePositionPatient = [-179.0, -179.0, index * SPACING[0]]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.SliceLocation, dataset.PixelSpacing = index * SPACING[0], list(SPACING[1:])
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = 0, 1, "HU"
    dataset.WindowCenter, dataset.WindowWidth = 40, 400
    dataset.PixelData = np.ascontiguousarray(pixels, "<i2").tobytes()
    return dataset
