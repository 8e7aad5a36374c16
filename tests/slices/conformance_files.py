"""Series whose files are hard to recognise or to trust, and Siemens mosaics."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    ComprehensiveSRStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
    SegmentationStorage,
)

from tests.slices.conformance import RAW, Expected, Truth, at, case, change_syntax, ct, file_name, hu, unplaced, write
from tests.slices.conformance_pixels import CR, MR
from tests.slices.factories import dicom_slice, save, stored_pixels


@case
def truncated_file(folder: Path) -> Truth:
    write(folder)
    path = folder / file_name(2)
    path.write_bytes(path.read_bytes()[:-100])
    return Truth([ct([0, 1, 3, 4], "gap", "missing")], {path.name: "truncated"})


@case
def file_without_bytes(folder: Path) -> Truth:
    write(folder, 4)
    (folder / "empty.dcm").touch()
    return Truth([ct(range(4))], {"empty.dcm": "empty"})


@case
def header_cut(folder: Path) -> Truth:
    write(folder, 4)
    path = folder / file_name(3)
    data = path.read_bytes()
    path.write_bytes(data[: data.find(b"\x28\x00\x10\x00US") + 12])
    return Truth([ct(range(3))], {path.name: "no_pixels"})


@case
def position_of_letters(folder: Path) -> Truth:
    write(folder, 4)
    path = folder / file_name(3)
    path.write_bytes(path.read_bytes().replace(b"-20.0\\-10.0", b"-xx.0\\-10.0"))
    return Truth([ct(range(3), "missing")], {path.name: "corrupt"})


@case
def position_not_a_number(folder: Path) -> Truth:
    write(folder, 3)
    path = folder / file_name(2)
    path.write_bytes(path.read_bytes().replace(b"-20.0\\-10.0", b"NaN  \\-10.0"))
    return Truth([ct(range(2)), unplaced([hu(2)])])


@case
def spacing_zero(folder: Path) -> Truth:
    write(folder, 3, lambda i: {"PixelSpacing": [0, 0]})
    return Truth([ct(range(3), "no_spacing")])


@case
def spacing_missing(folder: Path) -> Truth:
    write(folder, 3, lambda i: {"PixelSpacing": None})
    return Truth([ct(range(3), "no_spacing")])


@case
def radiograph_with_imager_spacing(folder: Path) -> Truth:
    save(dicom_slice(0, **CR, PixelSpacing=None, ImagerPixelSpacing=[0.2, 0.2]), folder / "a.dcm")
    return Truth([unplaced([stored_pixels(0)])])


@case
def junk_beside(folder: Path) -> Truth:
    write(folder, 3)
    (folder / "notes.txt").write_text("not an image")
    save(dicom_slice(7, SOPClassUID=SegmentationStorage), folder / "seg.dcm")
    save(without_pixels(ComprehensiveSRStorage, "SR"), folder / "report.dcm")
    directory = without_pixels(MediaStorageDirectoryStorage, None)
    directory.DirectoryRecordSequence = Sequence([])
    save(directory, folder / "DICOMDIR")
    reasons = {"notes.txt": "unrecognised", "seg.dcm": "not_image", "report.dcm": "not_image", "DICOMDIR": "dicomdir"}
    return Truth([ct(range(3))], reasons)


def without_pixels(sop_class: str, modality: str | None) -> Dataset:
    dataset = dicom_slice(8, SOPClassUID=sop_class, Modality=modality)
    dataset.file_meta.MediaStorageSOPClassUID = sop_class
    for name in ("PixelData", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"):
        delattr(dataset, name)
    return dataset


@case
def dose_beside(folder: Path) -> Truth:
    write(folder, 3)
    save(dicom_slice(0, SOPClassUID="1.2.840.10008.5.1.4.1.1.481.2", Modality="RTDOSE"), folder / "dose.dcm")
    return Truth([ct(range(3))], {"dose.dcm": "not_image"})


@case
def names_of_other_formats(folder: Path) -> Truth:
    for i, name in enumerate(("volume.nii", "picture.png", "noname", "1.2.3.4.5")):
        save(dicom_slice(i), folder / name)
    return Truth([ct(range(4))])


@case
def no_preamble_implicit(folder: Path) -> Truth:
    for i in range(3):
        dataset = dicom_slice(i)
        del dataset.file_meta
        dataset.save_as(folder / f"{i * 3 % 7}.dcm", implicit_vr=True, little_endian=True)
    return Truth([ct(range(3))])


@case
def implicit(folder: Path) -> Truth:
    for i in range(3):
        dataset = dicom_slice(i)
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        save(dataset, folder / f"{i * 3 % 7}.dcm")
    return Truth([ct(range(3))])


@case
def identifiers_empty(folder: Path) -> Truth:
    write(folder, 3, lambda i: {"SOPClassUID": "", "SeriesInstanceUID": "", "StudyInstanceUID": "", "PatientID": ""})
    return Truth([ct(range(3))])


@case
def class_missing(folder: Path) -> Truth:
    write(folder, 3, lambda i: {"SOPClassUID": None})
    return Truth([ct(range(3))])


@case
def patient_in_another_alphabet(folder: Path) -> Truth:
    names = {"SpecificCharacterSet": "ISO_IR 192", "PatientID": "Пациент", "PatientName": "Иванов^Иван"}
    write(folder, 3, lambda i: names)
    return Truth([ct(range(3))])


@case
def private_sequences_nested(folder: Path) -> Truth:
    for i in range(3):
        dataset, inner, outer = dicom_slice(i), Dataset(), Dataset()
        block = inner.private_block(0x0021, "MAKER", create=True)
        block.add_new(1, "OB", b"\xe0\x7f\x10\x00" * 4)  # looks like the tag of pixels
        outer.private_block(0x0021, "MAKER", create=True).add_new(2, "SQ", Sequence([inner]))
        dataset.private_block(0x0021, "MAKER", create=True).add_new(3, "SQ", Sequence([outer, outer]))
        dataset[0x00211003].is_undefined_length = True
        save(dataset, folder / f"{i * 3 % 7}.dcm")
    return Truth([ct(range(3))])


@case
def unprocessed_twin(folder: Path) -> Truth:
    """Left and right breast for presentation; the left one, and a third view, for processing too."""
    views = {
        "left.dcm": ("L", "CC", "FOR PRESENTATION"),
        "right.dcm": ("R", "CC", "FOR PRESENTATION"),
        "left_raw.dcm": ("L", "CC", "FOR PROCESSING"),
        "other_raw.dcm": ("L", "MLO", "FOR PROCESSING"),
    }
    for index, (name, (side, view, intent)) in enumerate(views.items()):
        changes = CR | {"Modality": "MG", "SOPClassUID": DigitalMammographyXRayImageStorageForPresentation}
        tags = {"ImageLaterality": side, "ViewPosition": view, "PresentationIntentType": intent}
        save(dicom_slice(index, series=f"1.7.{index}", **changes, **tags), folder / name)
    return Truth([unplaced([stored_pixels(i)]) for i in (0, 1, 3)], {"left_raw.dcm": "for_processing"})


@case
def codec_unknown(folder: Path) -> Truth:
    write(folder, 3)
    for name, syntax in (("video.dcm", "1.2.840.10008.1.2.4.102"), ("private.dcm", "1.2.826.0.1.3680043.2")):
        change_syntax(save(dicom_slice(5), folder / name), ExplicitVRLittleEndian, syntax)
    return Truth([ct(range(3))], {"video.dcm": "unsupported", "private.dcm": "unsupported"})


def csa_header(n_slices: int, normal: tuple[float, float, float]) -> bytes:
    """Siemens' second format of the header: a count, then tags with their items."""
    parts = [b"SV10\x04\x03\x02\x01", struct.pack("<2L", 2, 77)]
    tags: dict[str, tuple[bytes, list[str]]] = {
        "NumberOfImagesInMosaic": (b"US", [str(n_slices)]),
        "SliceNormalVector": (b"FD", [f"{v:.8f}" for v in normal]),
    }
    for name, (vr, values) in tags.items():
        parts.append(struct.pack("<64si4s3i", name.encode(), len(values), vr, 0, len(values), 77))
        for value in values:
            text = value.encode() + b"\0"
            parts.append(struct.pack("<4i", len(text), len(text), 77, len(text)) + text + b"\0" * (-len(text) % 4))
    return b"".join(parts)


def mosaic(index: int, n_slices: int, **changes: Any) -> Dataset:
    """A mosaic of 3 x 3 tiles whose first slice begins at (-20, -10, 0)."""
    tiles = np.zeros((3 * 40, 3 * 48), np.uint16)
    for tile in range(n_slices):
        y, x = tile // 3 * 40, tile % 3 * 48
        tiles[y : y + 40, x : x + 48] = stored_pixels(tile + 10 * index)
    # half of what the mosaic is larger than a tile, in mm
    place = [-20 - 48 * 0.5, -10 - 40 * 0.75, 0]
    kind = ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]
    between = {"SpacingBetweenSlices": 2.5, "InstanceNumber": index + 1}
    dataset = dicom_slice(index, pixels=tiles, **MR, ImageType=kind, ImagePositionPatient=place, **between)
    for key, value in changes.items():
        setattr(dataset, key, value)
    return dataset


def with_csa(dataset: Dataset, n_slices: int, normal: tuple[float, float, float]) -> Dataset:
    block = dataset.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
    block.add_new(0x10, "OB", csa_header(n_slices, normal))
    return dataset


@case
def mosaics_of_two_times(folder: Path) -> Truth:
    for index in range(2):
        save(with_csa(mosaic(index, 7), 7, (0, 0, 1)), folder / f"{1 - index}.dcm")
    places = [at(i) for i in range(7)]
    return Truth([Expected([stored_pixels(i + 10 * t) for i in range(7)], places) for t in range(2)])


@case
def mosaic_from_head_to_feet(folder: Path) -> Truth:
    """The CSA normal points against row x column: the last tile is the lowest."""
    save(with_csa(mosaic(0, 7), 7, (0, 0, -1)), folder / "a.dcm")
    places = [(-20.0, -10.0, -2.5 * i) for i in range(7)]
    return Truth([Expected([stored_pixels(i) for i in range(7)][::-1], places[::-1])])


@case
def mosaic_without_csa(folder: Path) -> Truth:
    dataset = mosaic(0, 8)
    dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0A, "US", 8)
    save(dataset, folder / "a.dcm")
    values = [stored_pixels(i) for i in range(8)]
    return Truth([Expected(values, [at(i) for i in range(8)], frozenset({"mosaic_order"}))])


@case
def mosaic_that_tells_nothing(folder: Path) -> Truth:
    write(folder, 3)
    save(mosaic(5, 8), folder / "mosaic.dcm")
    return Truth([ct(range(3))], {"mosaic.dcm": "unsupported"})


@case
def screenshot_of_a_screen(folder: Path) -> Truth:
    changes = {**RAW, "Modality": "OT", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7", "ImagePositionPatient": None}
    save(dicom_slice(0, **changes, ConversionType="WSD"), folder / "a.dcm")
    return Truth([unplaced([stored_pixels(0)], "burned_in_risk")])
