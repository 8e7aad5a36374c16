"""From one DICOM header to its frames: what each needs to be grouped, placed and decoded."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lvm_med_monai.slices.dicom_header import Header
from lvm_med_monai.slices.stack import Units

DISPLAY_MODALITIES = frozenset(
    [
        *("BI", "BMD", "CR", "DF", "DG", "DX", "ES", "GM", "HC", "IO", "IVUS", "LS", "MG", "OCT", "OP", "OPT", "OT"),
        *("PX", "RF", "RG", "SC", "SM", "TG", "US", "XA", "XC"),
    ]
)
"""Modalities whose numbers are made to be looked at: MONOCHROME1 is inverted, the file's own window is used."""
BURNED_IN_MODALITIES = frozenset(["US", "IVUS", "XA", "RF", "OT", "SC"])
"""Modalities whose pixels often show text, unless BurnedInAnnotation says NO (slices without it count as risky)."""
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
LOSSY_SYNTAXES = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in ("50", "51", "81", "91", "203"))
"""JPEG baseline and extended, JPEG-LS near-lossless, JPEG 2000 and HTJ2K where loss is allowed."""


@dataclass(frozen=True)
class Image:
    """What the frames of one file share. Identifiers are raw and never leave memory.

    Attributes:
        padding: (lowest, highest) stored value that stands for "no pixel" (PS3.3 C.7.5.1.1.2), or None.
        window: (lower, upper) in modality units that the file asks for, or None.
        bits: significant bits of a stored value.
        has_modality_lut: the Modality LUT is a table instead of slope and intercept.
        has_voi_lut: a VOI LUT table exists.
    """

    path: Path
    syntax: str
    rows: int
    columns: int
    samples: int
    photometric: str
    bits: int
    signed: bool
    floating: bool
    modality: str
    image_type: tuple[str, ...]
    patient_id: str = field(repr=False)
    study_id: str = field(repr=False)
    series_id: str = field(repr=False)
    frame_of_reference: str = field(repr=False)
    instance_number: int | None
    acquisition_number: int | None
    padding: tuple[int, int] | None
    window: tuple[float, float] | None
    has_modality_lut: bool
    has_voi_lut: bool
    burned_in_risk: bool
    lossy: bool

    @property
    def colour(self) -> bool:
        """Whether frames become RGB."""
        return self.samples == 3 or self.photometric == "PALETTE COLOR"


@dataclass(frozen=True)
class Frame:
    """One slice of a file.

    Attributes:
        index: frame number in the file, from 0.
        position: ImagePositionPatient, LPS mm, or None.
        orientation: ImageOrientationPatient, six cosines, or None.
        spacing: PixelSpacing (y, x) mm, or None.
        slope: of the rescale that gives modality units.
        intercept: of the same; None if the file has neither slope nor intercept.
        contrast: what splits positions into volumes: temporal position, b-value, echo, stack, each as text.
    """

    image: Image
    index: int
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    spacing: tuple[float, float] | None
    slope: float
    intercept: float | None
    contrast: tuple[str, ...]

    @property
    def units(self) -> Units:
        """Units of the decoded values."""
        if self.image.colour or self.image.modality in DISPLAY_MODALITIES:
            return "display"
        return "HU" if self.image.modality == "CT" and self.intercept is not None else "raw"


def list_frames(header: Header) -> list[Frame]:
    """Every frame of a file, in file order.

    Raises:
        Exception: whatever pydicom raises for values that cannot be converted; the caller rejects the file.
    """
    dataset = header.dataset
    image = _image(header)
    shared = _first(dataset.get("SharedFunctionalGroupsSequence"))
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or ()
    frames = []
    for index in range(header.n_frames):
        own = per_frame[index] if index < len(per_frame) else None
        frames.append(_frame(image, index, _Groups(dataset, shared, own, header.n_frames)))
    return frames


class _Groups:
    """Looks attributes up in the frame's functional groups, the shared ones, then the data set (PS3.3 C.7.6.16)."""

    def __init__(self, dataset: Any, shared: Any, own: Any, n_frames: int) -> None:
        self.dataset, self.shared, self.own = dataset, shared, own
        self.enhanced = shared is not None or own is not None
        self.n_frames = n_frames

    def get(self, sequence: str, keyword: str) -> Any:
        for groups in (self.own, self.shared):
            item = _first(groups.get(sequence)) if groups is not None else None
            if item is not None and item.get(keyword) is not None:
                return item.get(keyword)
        return self.dataset.get(keyword)


def _frame(image: Image, index: int, groups: _Groups) -> Frame:
    position = _numbers(groups.get("PlanePositionSequence", "ImagePositionPatient"), 3)
    if groups.n_frames > 1 and not groups.enhanced:
        # One position for all frames of a cine loop places none of them.
        position = None
    spacing = _numbers(groups.get("PixelMeasuresSequence", "PixelSpacing"), 2)
    spacing = spacing or _numbers(groups.dataset.get("ImagerPixelSpacing"), 2)
    if spacing is not None and min(spacing) <= 0:
        spacing = None
    slope = groups.get("PixelValueTransformationSequence", "RescaleSlope")
    intercept = groups.get("PixelValueTransformationSequence", "RescaleIntercept")
    known = slope not in (None, "") or intercept not in (None, "")
    slope_value = float(slope) if slope not in (None, "") else 1.0
    contrast = (
        str(groups.get("FrameContentSequence", "StackID") or ""),
        str(groups.get("FrameContentSequence", "TemporalPositionIndex") or ""),
        str(groups.dataset.get("TemporalPositionIdentifier") or ""),
        str(groups.get("MRDiffusionSequence", "DiffusionBValue") or ""),
        str(groups.get("MREchoSequence", "EffectiveEchoTime") or groups.dataset.get("EchoTime") or ""),
    )
    return Frame(
        image=image,
        index=index,
        position=position,
        orientation=_numbers(groups.get("PlaneOrientationSequence", "ImageOrientationPatient"), 6),
        spacing=(spacing[0], spacing[1]) if spacing else None,
        slope=slope_value if math.isfinite(slope_value) and slope_value != 0 else 1.0,
        intercept=float(intercept or 0) if known or image.has_modality_lut else None,
        contrast=contrast,
    )


def _image(header: Header) -> Image:
    dataset = header.dataset
    modality = str(dataset.get("Modality") or "").upper() or "unknown"
    image_type = dataset.get("ImageType") or ()
    kinds = (image_type,) if isinstance(image_type, str) else tuple(str(v) for v in image_type)
    burned_in = str(dataset.get("BurnedInAnnotation") or "").upper()
    screen = str(dataset.get("SOPClassUID") or "").startswith(SECONDARY_CAPTURE) or "SAVE" in kinds
    risky = screen or modality in BURNED_IN_MODALITIES or bool(dataset.get("ConversionType"))
    signed = int(dataset.get("PixelRepresentation") or 0) == 1
    photometric = str(dataset.get("PhotometricInterpretation") or "MONOCHROME2")
    bits_allocated = int(dataset.BitsAllocated)
    return Image(
        path=header.path,
        syntax=header.syntax,
        rows=int(dataset.Rows),
        columns=int(dataset.Columns),
        samples=int(dataset.get("SamplesPerPixel") or 1),
        photometric=photometric,
        bits=int(dataset.get("BitsStored") or bits_allocated),
        signed=signed,
        floating=dataset.get("PixelRepresentation") is None,
        modality=modality,
        image_type=kinds,
        patient_id=str(dataset.get("PatientID") or ""),
        study_id=str(dataset.get("StudyInstanceUID") or ""),
        series_id=str(dataset.get("SeriesInstanceUID") or ""),
        frame_of_reference=str(dataset.get("FrameOfReferenceUID") or ""),
        instance_number=_integer(dataset.get("InstanceNumber")),
        acquisition_number=_integer(dataset.get("AcquisitionNumber")),
        padding=_padding(dataset, signed, bits_allocated),
        window=_window(dataset),
        has_modality_lut=bool(dataset.get("ModalityLUTSequence")),
        has_voi_lut=bool(dataset.get("VOILUTSequence")),
        burned_in_risk=burned_in == "YES" or (burned_in != "NO" and risky),
        lossy=str(dataset.get("LossyImageCompression") or "") == "01" or header.syntax in LOSSY_SYNTAXES,
    )


def _padding(dataset: Any, signed: bool, bits: int) -> tuple[int, int] | None:
    value = _integer(dataset.get("PixelPaddingValue"))
    if value is None:
        return None
    limit = _integer(dataset.get("PixelPaddingRangeLimit"))
    limit = value if limit is None else limit
    half, full = 1 << (bits - 1), 1 << bits
    # Writers often give a signed image's value as unsigned, and the other way round.
    wrapped = [(v + half) % full - half if signed else v % full for v in (value, limit)]
    return min(wrapped), max(wrapped)


def _window(dataset: Any) -> tuple[float, float] | None:
    """First linear window, as PS3.3 C.11.2.1.2.1 bounds it."""
    centre, width = _numbers(dataset.get("WindowCenter"), 1), _numbers(dataset.get("WindowWidth"), 1)
    if not centre or not width or width[0] <= 1:
        return None
    middle, reach = centre[0] - 0.5, (width[0] - 1) / 2
    return middle - reach, middle + reach


def _first(sequence: Any) -> Any:
    return sequence[0] if sequence else None


def _integer(value: Any) -> int | None:
    return None if value is None or value == "" else int(value)


def _numbers(value: Any, count: int) -> tuple[float, ...] | None:
    """The first ``count`` numbers of a value, or None if it is absent, shorter, or not finite."""
    if value is None or value == "":
        return None
    numbers = tuple(float(v) for v in (value if hasattr(value, "__len__") and not isinstance(value, str) else [value]))
    return numbers[:count] if len(numbers) >= count and all(map(math.isfinite, numbers[:count])) else None
