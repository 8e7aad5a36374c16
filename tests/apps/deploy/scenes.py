"""DICOM series of every kind with one bright, asymmetric body in them, and where it is in each frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    CTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    MRImageStorage,
    RLELossless,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
    XRayAngiographicImageStorage,
    generate_uid,
)

ROWS, COLUMNS, SLICES, STEP = 40, 56, 6, 2.5
SPACING = (0.8, 0.5)
"""Of rows and of columns: not square, so that a swap shows."""
BRIGHT, DARK = 200, -100
"""HU inside and outside of the body."""
Truth = dict[tuple[str, int], NDArray[np.bool_]]
"""(SOPInstanceUID, frame number or 1) -> mask of the body."""


@dataclass
class Scene:
    """A folder with a series, and the truth."""

    folder: Path
    truth: Truth = field(default_factory=dict)
    first: Dataset | None = None


def body(index: int, rows: int = ROWS, columns: int = COLUMNS) -> NDArray[np.bool_]:
    """(rows, columns) mask that is no mirror image of itself and differs in each slice; empty in the last."""
    y, x = np.mgrid[:rows, :columns]
    ellipse = ((y - 0.4 * rows) / (0.3 * rows)) ** 2 + (
        (x - (0.35 + 0.03 * index) * columns) / (0.2 * columns)
    ) ** 2 < 1
    notch = (y > 0.45 * rows) & (x < (0.35 + 0.03 * index) * columns)
    return ellipse & ~notch if index < SLICES - 1 else np.zeros((rows, columns), dtype=bool)


def base(sop_class: str, modality: str, series: str = "1.2.826.0.1.3680043.10.511.3.77.1") -> Dataset:
    """The modules that all images share, filled as the standard asks for."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, generate_uid(prefix=None)
    dataset.PatientName, dataset.PatientID = "Öztürk^Ayşe", "P-4711"
    dataset.PatientBirthDate, dataset.PatientSex = "19700102", "F"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"{series}.0", series
    dataset.StudyDate, dataset.StudyTime, dataset.StudyID, dataset.AccessionNumber = "20240305", "101112", "S1", "A-99"
    dataset.ReferringPhysicianName = "Ref^Doctor"
    dataset.InstitutionName, dataset.StationName, dataset.OperatorsName = (
        "Secret Hospital",
        "SECRETSTATION",
        "Op^Secret",
    )
    dataset.Modality, dataset.SeriesNumber, dataset.Manufacturer = modality, 3, "Maker"
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    return dataset


def with_pixels(dataset: Dataset, pixels: NDArray[Any], bits: int = 16) -> Dataset:
    """Attributes of the pixels; (rows, columns), (frames, rows, columns), or with 3 samples at the end."""
    colour = pixels.shape[-1] == 3
    shape = pixels.shape[-3:-1] if colour else pixels.shape[-2:]
    dataset.Rows, dataset.Columns = shape
    dataset.SamplesPerPixel = 3 if colour else 1
    dataset.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated, dataset.PixelRepresentation = bits, 0
    dataset.BitsStored = 12 if bits == 16 else bits
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelData = pixels.tobytes()
    return dataset


def place(dataset: Dataset, index: int, orientation: tuple[float, ...]) -> Dataset:
    """Position, orientation and spacing of slice ``index``."""
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    origin = np.array([-20.0, -10.0, 30.0]) + index * STEP * np.cross(row, column)
    dataset.FrameOfReferenceUID = "1.2.826.0.1.3680043.10.511.3.77.9"
    dataset.PositionReferenceIndicator = ""
    dataset.ImagePositionPatient = [round(float(v), 6) for v in origin]
    dataset.ImageOrientationPatient = list(orientation)
    dataset.PixelSpacing, dataset.SliceThickness = list(SPACING), STEP
    return dataset


AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
OBLIQUE = (0.8, 0.6, 0.0, -0.36, 0.48, -0.8)


def slice_of(index: int, modality: str, orientation: tuple[float, ...] = AXIAL, slope: float = 1.0) -> Dataset:
    """A CT or MR slice; stored values are (HU + 1024) / slope."""
    dataset = place(base(CTImageStorage if modality == "CT" else MRImageStorage, modality), index, orientation)
    dataset.InstanceNumber = index + 1
    values = np.where(body(index), BRIGHT, DARK) + 1024
    if modality == "CT":
        dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = slope, -1024, "HU"
        dataset.KVP, dataset.AcquisitionNumber = "120", 1
    else:
        dataset.ScanningSequence, dataset.SequenceVariant, dataset.ScanOptions = "SE", "NONE", ""
        dataset.MRAcquisitionType, dataset.EchoTime, dataset.EchoTrainLength, dataset.RepetitionTime = "2D", 20, 1, 800
    return with_pixels(dataset, np.round(values / slope).astype(np.uint16))


def save(scene: Scene, dataset: Dataset, name: str, masks: list[NDArray[np.bool_]]) -> None:
    """Write a file and note its truth; pixels that were compressed stay so."""
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    scene.folder.mkdir(parents=True, exist_ok=True)
    dataset.save_as(scene.folder / name, enforce_file_format=True)
    for frame, mask in enumerate(masks, 1):
        scene.truth[dataset.SOPInstanceUID, frame] = mask
    scene.first = scene.first or dataset


def volume(folder: Path, modality: str = "CT", orientation: tuple[float, ...] = AXIAL, **options: Any) -> Scene:
    """Slices in files whose names and instance numbers are in no order."""
    scene, order = Scene(folder), np.random.default_rng(3).permutation(SLICES)
    for index in options.get("indices", range(options.get("count", SLICES))):
        dataset = slice_of(index, modality, orientation, options.get("slopes", [1.0] * SLICES)[index])
        dataset.ImagePositionPatient[1] += options.get("tilt", 0.0) * index
        dataset.InstanceNumber = int(order[index]) + 1
        if syntax := options.get("compress"):
            dataset.compress(syntax, encoding_plugin=options.get("plugin", ""), generate_instance_uid=False)
        save(scene, dataset, f"{order[index]:02d}.dcm", [body(index)])
    return scene


def two_echoes(folder: Path) -> Scene:
    """Each place twice in one series, with two echo times."""
    scene = Scene(folder)
    for number, (index, echo) in enumerate([(i, echo) for i in range(SLICES) for echo in (20, 80)]):
        dataset = slice_of(index, "MR")
        dataset.InstanceNumber, dataset.EchoTime = number + 1, echo
        save(scene, dataset, f"{number:02d}.dcm", [body(index)])
    return scene


def single_slice(folder: Path) -> Scene:
    scene = Scene(folder)
    dataset = slice_of(1, "CT")
    dataset.SliceThickness = None
    save(scene, dataset, "one.dcm", [body(1)])
    return scene


def radiograph(folder: Path) -> Scene:
    """CR: no position, no thickness, MONOCHROME1."""
    scene, dataset = Scene(folder), base(ComputedRadiographyImageStorage, "CR")
    dataset.InstanceNumber, dataset.BodyPartExamined, dataset.ViewPosition = 1, "CHEST", "PA"
    dataset.PatientOrientation, dataset.ImagerPixelSpacing = ["L", "F"], [0.5, 0.5]
    with_pixels(dataset, np.where(body(1), 300, 3600).astype(np.uint16))
    dataset.PhotometricInterpretation = "MONOCHROME1"
    dataset.WindowCenter, dataset.WindowWidth = 2048, 4096
    save(scene, dataset, "cr.dcm", [body(1)])
    return scene


def radiographs(folder: Path, compress: str) -> Scene:
    """The radiograph, compressed."""
    scene, dataset = Scene(folder), radiograph(folder).first
    assert dataset is not None
    dataset.compress(compress, generate_instance_uid=False)
    save(scene, dataset, "cr.dcm", [body(1)])
    return scene


def angiogram(folder: Path) -> Scene:
    """XA: a grey cine loop without positions."""
    scene, dataset = Scene(folder), base(XRayAngiographicImageStorage, "XA")
    masks = [body(i) for i in range(4)]
    dataset.InstanceNumber, dataset.PatientOrientation = 1, ""
    dataset.NumberOfFrames, dataset.FrameIncrementPointer, dataset.FrameTime = len(masks), 0x00181063, "40"
    with_pixels(dataset, np.where(np.stack(masks), 3600, 300).astype(np.uint16))
    dataset.WindowCenter, dataset.WindowWidth = 2048, 4096
    save(scene, dataset, "xa.dcm", masks)
    return scene


def ultrasound(folder: Path, frames: int | None = None, square: bool = False, compress: str = "") -> Scene:
    """RGB ultrasound, as files of one frame or as one cine loop."""
    columns = ROWS if square else COLUMNS
    masks = [body(i, ROWS, columns) for i in range(frames or 1)]
    pixels = np.stack([np.where(mask, 220, 30) for mask in masks]).astype(np.uint8)[..., None] * np.ones(3, np.uint8)
    scene = Scene(folder)
    dataset = base(UltrasoundMultiFrameImageStorage if frames else UltrasoundImageStorage, "US")
    dataset.InstanceNumber, dataset.PatientOrientation = 1, ""
    dataset.LossyImageCompression = "00"
    if frames:
        dataset.NumberOfFrames, dataset.FrameIncrementPointer, dataset.FrameTime = frames, 0x00181063, "40"
    with_pixels(dataset, pixels if frames else pixels[0], bits=8)
    if compress:
        dataset.compress(compress, generate_instance_uid=False)
    save(scene, dataset, "us.dcm", masks)
    return scene


def enhanced(folder: Path) -> Scene:
    """Enhanced MR: two b-values at the same places, frames in no order."""
    scene, dataset = Scene(folder), base(EnhancedMRImageStorage, "MR")
    dataset.InstanceNumber, dataset.FrameOfReferenceUID = 1, "1.2.826.0.1.3680043.10.511.3.77.9"
    dataset.PositionReferenceIndicator = ""
    order = [(b, i) for i in (3, 0, 5, 1, 4, 2) for b in (0, 1)]
    masks = [body(i) for _, i in order]
    with_pixels(dataset, (np.where(np.stack(masks), BRIGHT, DARK) + 1024).astype(np.uint16))
    dataset.NumberOfFrames = len(order)
    shared, groups = Dataset(), []
    example = slice_of(0, "MR")
    shared.PlaneOrientationSequence = Sequence([_item(ImageOrientationPatient=example.ImageOrientationPatient)])
    shared.PixelMeasuresSequence = Sequence([_item(PixelSpacing=list(SPACING), SliceThickness=STEP)])
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    for b, i in order:
        position = slice_of(i, "MR").ImagePositionPatient
        diffusion = _item(DiffusionBValue=float(b * 800), DiffusionDirectionality="NONE" if b == 0 else "ISOTROPIC")
        groups.append(_item(PlanePositionSequence=Sequence([_item(ImagePositionPatient=position)])))
        groups[-1].MRDiffusionSequence = Sequence([diffusion])
    dataset.PerFrameFunctionalGroupsSequence = Sequence(groups)
    save(scene, dataset, "enhanced.dcm", masks)
    return scene


def _item(**attributes: Any) -> Dataset:
    item = Dataset()
    for name, value in attributes.items():
        setattr(item, name, value)
    return item


SCENES: dict[str, Callable[[Path], Scene]] = {
    "ct": volume,
    "ct_j2k": lambda folder: volume(folder, compress=JPEG2000Lossless),
    "ct_jpeg_ls": lambda folder: volume(folder, compress=JPEGLSLossless),
    "ct_rle": lambda folder: volume(folder, compress=RLELossless, plugin="pydicom"),
    "ct_sagittal": lambda folder: volume(folder, orientation=SAGITTAL),
    "ct_oblique": lambda folder: volume(folder, orientation=OBLIQUE),
    "ct_gap": lambda folder: volume(folder, indices=(0, 1, 4, 5)),
    "ct_tilt": lambda folder: volume(folder, tilt=0.6),
    "ct_slope_per_slice": lambda folder: volume(folder, slopes=[1.0, 0.5, 2.0, 0.5, 1.0, 4.0]),
    "ct_single_slice": single_slice,
    "mr": lambda folder: volume(folder, modality="MR"),
    "mr_oblique": lambda folder: volume(folder, modality="MR", orientation=OBLIQUE),
    "mr_j2k": lambda folder: volume(folder, modality="MR", compress=JPEG2000Lossless),
    "mr_two_echoes": two_echoes,
    "mr_enhanced": enhanced,
    "cr": radiograph,
    "cr_j2k": lambda folder: radiographs(folder, JPEG2000Lossless),
    "xa_cine": angiogram,
    "us_rgb": ultrasound,
    "us_rgb_j2k": lambda folder: ultrasound(folder, compress=JPEG2000Lossless),
    "us_rgb_square": lambda folder: ultrasound(folder, square=True),
    "us_cine": lambda folder: ultrasound(folder, frames=4),
}
