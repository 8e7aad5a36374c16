"""What the frames of one DICOM file share."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from lvm_med_monai.slices.dicom import tags
from lvm_med_monai.slices.dicom.attributes import Attributes
from lvm_med_monai.slices.dicom.contents import Pixels
from lvm_med_monai.slices.dicom.fragments import Span
from lvm_med_monai.slices.dicom.header import Header
from lvm_med_monai.slices.dicom.mosaic import Mosaic, find_mosaic

BURNED_IN_MODALITIES = frozenset(["US", "IVUS", "XA", "RF", "OT", "SC"])
"""Modalities whose pixels often show text, unless BurnedInAnnotation says NO (slices without it count as risky)."""
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
LOSSY_SYNTAXES = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in ("50", "51", "81", "91", "203", "112"))
"""JPEG baseline and extended, JPEG-LS near-lossless, JPEG 2000, HTJ2K and JPEG XL where loss is allowed."""


@dataclass(frozen=True)
class Image:
    """What the frames of one file share. Identifiers are raw and never leave memory.

    Attributes:
        rows: of a frame; of a tile of a mosaic.
        columns: of the same.
        pixels: where the pixels lie in the file.
        spans: fragments of each frame if they are compressed.
        bits_allocated: bits of a stored sample in the file.
        bits: significant ones among them.
        high_bit: number of the highest significant bit, from 0.
        padding: (lowest, highest) stored value that stands for "no pixel" (PS3.3 C.7.5.1.1.2), or None.
        has_modality_lut: the Modality LUT is a table instead of slope and intercept.
        voi_top: highest value that the VOI LUT table can give, or None if there is no table.
        intent: PresentationIntentType.
        view: laterality and view position, which tell the images of one examination apart.
        mosaic: how slices are tiled in the stored frame, or None.
    """

    path: Path
    syntax: str
    little_endian: bool
    pixels: Pixels
    spans: tuple[Span, ...]
    n_frames: int
    rows: int
    columns: int
    samples: int
    photometric: str
    planar: int
    bits_allocated: int
    bits: int
    high_bit: int
    signed: bool
    modality: str
    image_type: tuple[str, ...]
    patient_id: str = field(repr=False)
    study_id: str = field(repr=False)
    series_id: str = field(repr=False)
    frame_of_reference: str = field(repr=False)
    instance_number: int | None
    acquisition_number: int | None
    padding: tuple[int, int] | None
    has_modality_lut: bool
    voi_top: int | None
    burned_in_risk: bool
    lossy: bool
    intent: str
    view: tuple[str, ...]
    mosaic: Mosaic | None

    @property
    def colour(self) -> bool:
        """Whether frames become RGB."""
        return self.samples == 3 or self.photometric == "PALETTE COLOR"

    @property
    def floating(self) -> bool:
        """Whether the pixels are float or double (PS3.3 C.7.6.24)."""
        return self.pixels.tag != tags.PIXELS

    @property
    def stored_shape(self) -> tuple[int, int]:
        """(rows, columns) of a frame in the file."""
        return self.mosaic.shape if self.mosaic else (self.rows, self.columns)


def image_of(header: Header) -> Image:
    """What the frames of a file share.

    Raises:
        UnsupportedError: a mosaic that does not tell its number of slices.
        Exception: whatever pydicom raises for values that cannot be converted.
    """
    attributes = header.attributes
    modality = attributes.text(tags.MODALITY).upper() or "unknown"
    kinds = attributes.texts(tags.IMAGE_TYPE)
    signed = attributes.integer(tags.PIXEL_REPRESENTATION) == 1
    bits_allocated = attributes.integer(tags.BITS_ALLOCATED) or 0
    bits = attributes.integer(tags.BITS_STORED) or bits_allocated
    mosaic = find_mosaic(header.path, attributes, kinds)
    rows, columns = attributes.integer(tags.ROWS) or 0, attributes.integer(tags.COLUMNS) or 0
    return Image(
        path=header.path,
        syntax=header.syntax,
        little_endian=header.little_endian,
        pixels=header.pixels,
        spans=header.spans,
        n_frames=header.n_frames,
        rows=mosaic.tile_shape[0] if mosaic else rows,
        columns=mosaic.tile_shape[1] if mosaic else columns,
        samples=attributes.integer(tags.SAMPLES_PER_PIXEL) or 1,
        photometric=attributes.text(tags.PHOTOMETRIC_INTERPRETATION) or "MONOCHROME2",
        planar=attributes.integer(tags.PLANAR_CONFIGURATION) or 0,
        bits_allocated=bits_allocated,
        bits=bits,
        high_bit=_high_bit(attributes, bits_allocated, bits),
        signed=signed,
        modality=modality,
        image_type=kinds,
        patient_id=attributes.text(tags.PATIENT_ID),
        study_id=attributes.text(tags.STUDY_INSTANCE_UID),
        series_id=attributes.text(tags.SERIES_INSTANCE_UID),
        frame_of_reference=attributes.text(tags.FRAME_OF_REFERENCE_UID),
        instance_number=attributes.integer(tags.INSTANCE_NUMBER),
        acquisition_number=attributes.integer(tags.ACQUISITION_NUMBER),
        padding=_padding(attributes, signed, bits_allocated),
        has_modality_lut=bool(attributes.items(tags.MODALITY_LUT_SEQUENCE)),
        voi_top=_voi_top(attributes),
        burned_in_risk=_burned_in_risk(attributes, modality, kinds),
        lossy=attributes.text(tags.LOSSY_IMAGE_COMPRESSION) == "01" or header.syntax in LOSSY_SYNTAXES,
        intent=attributes.text(tags.PRESENTATION_INTENT_TYPE).upper(),
        view=tuple(attributes.text(tag) for tag in (tags.LATERALITY, tags.IMAGE_LATERALITY, tags.VIEW_POSITION)),
        mosaic=mosaic,
    )


def _high_bit(attributes: Attributes, bits_allocated: int, bits: int) -> int:
    """The file's, if it leaves room for the significant bits; the standard's own, bits - 1, otherwise."""
    high = attributes.integer(tags.HIGH_BIT)
    return high if high is not None and bits - 1 <= high < bits_allocated else bits - 1


def _burned_in_risk(attributes: Attributes, modality: str, kinds: tuple[str, ...]) -> bool:
    burned_in = attributes.text(tags.BURNED_IN_ANNOTATION).upper()
    screen = attributes.text(tags.SOP_CLASS_UID).startswith(SECONDARY_CAPTURE) or "SAVE" in kinds
    risky = screen or modality in BURNED_IN_MODALITIES or bool(attributes.text(tags.CONVERSION_TYPE))
    return burned_in == "YES" or (burned_in != "NO" and risky)


def _padding(attributes: Attributes, signed: bool, bits: int) -> tuple[int, int] | None:
    value = attributes.integer(tags.PIXEL_PADDING_VALUE)
    if value is None or bits < 8:
        return None
    limit = attributes.integer(tags.PIXEL_PADDING_RANGE_LIMIT)
    # Writers often give a signed image's value as unsigned, and the other way round.
    wrapped = [_wrapped(v, signed, bits) for v in (value, value if limit is None else limit)]
    return min(wrapped), max(wrapped)


def _wrapped(value: int, signed: bool, bits: int) -> int:
    half, full = 1 << (min(bits, 16) - 1), 1 << min(bits, 16)
    return (value + half) % full - half if signed else value % full


def _voi_top(attributes: Attributes) -> int | None:
    """Of the first table; of 16 bits where its descriptor does not say, which decoding refuses."""
    table = attributes.first(tags.VOI_LUT_SEQUENCE)
    if table is None:
        return None
    try:
        descriptor = table.numbers(tags.LUT_DESCRIPTOR, 3)
    except Exception:  # pydicom raises many types on damaged values
        descriptor = None
    bits = int(descriptor[2]) if descriptor else 0
    return (1 << (bits if 1 <= bits <= 16 else 16)) - 1
