"""From one DICOM header to its frames: what each needs to be grouped, placed and decoded."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from lvm_med_monai.slices.dicom import tags
from lvm_med_monai.slices.dicom.attributes import Attributes
from lvm_med_monai.slices.dicom.header import Header
from lvm_med_monai.slices.dicom.image import Image, image_of
from lvm_med_monai.slices.stack import Units

DISPLAY_MODALITIES = frozenset(
    [
        *("BI", "BMD", "CR", "DF", "DG", "DX", "ES", "GM", "HC", "IO", "IVUS", "LS", "MG", "OCT", "OP", "OPT", "OT"),
        *("PX", "RF", "RG", "SC", "SM", "TG", "US", "XA", "XC"),
    ]
)
"""Modalities whose numbers are made to be looked at: MONOCHROME1 is inverted, the file's own window is used."""
SIEMENS_MR = "SIEMENS MR HEADER"


@dataclass(frozen=True)
class Frame:
    """One slice of a file.

    Attributes:
        index: frame number in the file, or tile number in a mosaic, from 0.
        position: ImagePositionPatient, LPS mm, or None.
        orientation: ImageOrientationPatient, six cosines, or None.
        spacing: PixelSpacing (y, x) mm, or None.
        slope: of the rescale that gives modality units.
        intercept: of the same; None if the file has neither slope nor intercept.
        window: (lower, upper) in modality units that the frame asks to be shown, or None.
        contrast: what splits positions into volumes: stack, temporal position, b-value, echo, mosaic, each as text.
    """

    image: Image
    index: int
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    spacing: tuple[float, float] | None
    slope: float
    intercept: float | None
    window: tuple[float, float] | None
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
        UnsupportedError: a mosaic that does not tell its number of slices.
        Exception: whatever pydicom raises for values that cannot be converted; the caller rejects the file.
    """
    attributes, image = header.attributes, image_of(header)
    shared = attributes.first(tags.SHARED_GROUPS)
    per_frame = attributes.items(tags.PER_FRAME_GROUPS)
    frames = []
    for index in range(header.n_frames):
        own = per_frame[index] if index < len(per_frame) else None
        frames.append(_frame(image, index, _Groups(attributes, shared, own)))
    return _tiles(frames[0], attributes) if image.mosaic else frames


class _Groups:
    """Looks attributes up in the frame's functional groups, the shared ones, then the data set (PS3.3 C.7.6.16)."""

    def __init__(self, attributes: Attributes, shared: Attributes | None, own: Attributes | None) -> None:
        self.attributes = attributes
        self.groups = [groups for groups in (own, shared) if groups is not None]

    def holder(self, sequence: int, tag: int) -> Attributes:
        """The innermost attributes that have the one asked for."""
        for groups in self.groups:
            item = groups.first(sequence)
            if item is not None and item.has(tag):
                return item
        return self.attributes

    def numbers(self, sequence: int, tag: int, count: int) -> tuple[float, ...] | None:
        return self.holder(sequence, tag).numbers(tag, count)

    def text(self, sequence: int, tag: int) -> str:
        return self.holder(sequence, tag).text(tag)


def _frame(image: Image, index: int, groups: _Groups) -> Frame:
    position = groups.numbers(tags.PLANE_POSITION_SEQUENCE, tags.IMAGE_POSITION, 3)
    if image.n_frames > 1 and not groups.groups:
        # One position for all frames of a cine loop places none of them.
        position = None
    slope = groups.numbers(tags.PIXEL_VALUE_SEQUENCE, tags.RESCALE_SLOPE, 1)
    intercept = groups.numbers(tags.PIXEL_VALUE_SEQUENCE, tags.RESCALE_INTERCEPT, 1)
    known = slope is not None or intercept is not None or image.has_modality_lut
    return Frame(
        image=image,
        index=index,
        position=position,
        orientation=groups.numbers(tags.PLANE_ORIENTATION_SEQUENCE, tags.IMAGE_ORIENTATION, 6),
        spacing=_spacing(groups),
        slope=slope[0] if slope and slope[0] != 0 else 1.0,
        intercept=(intercept[0] if intercept else 0.0) if known else None,
        window=_window(groups),
        contrast=(
            groups.text(tags.FRAME_CONTENT_SEQUENCE, tags.STACK_ID),
            groups.text(tags.FRAME_CONTENT_SEQUENCE, tags.TEMPORAL_POSITION_INDEX),
            groups.attributes.text(tags.TEMPORAL_POSITION_IDENTIFIER),
            _b_value(groups),
            groups.text(tags.ECHO_SEQUENCE, tags.EFFECTIVE_ECHO_TIME) or groups.attributes.text(tags.ECHO_TIME),
        ),
    )


def _spacing(groups: _Groups) -> tuple[float, float] | None:
    spacing = groups.numbers(tags.PIXEL_MEASURES_SEQUENCE, tags.PIXEL_SPACING, 2)
    spacing = spacing or groups.attributes.numbers(tags.IMAGER_PIXEL_SPACING, 2)
    return (spacing[0], spacing[1]) if spacing and min(spacing) > 0 else None


def _window(groups: _Groups) -> tuple[float, float] | None:
    """First linear window, as PS3.3 C.11.2.1.2.1 bounds it."""
    holder = groups.holder(tags.FRAME_VOI_LUT_SEQUENCE, tags.WINDOW_CENTER)
    centre, width = holder.number(tags.WINDOW_CENTER), holder.number(tags.WINDOW_WIDTH)
    if centre is None or width is None or width <= 1:
        return None
    middle, reach = centre - 0.5, (width - 1) / 2
    return middle - reach, middle + reach


def _b_value(groups: _Groups) -> str:
    """The standard's, or that of Siemens' older software."""
    known = groups.text(tags.DIFFUSION_SEQUENCE, tags.DIFFUSION_B_VALUE)
    if not known and groups.attributes.text(tags.SIEMENS_MR_CREATOR) == SIEMENS_MR:
        known = groups.attributes.text(tags.SIEMENS_B_VALUE)
    return known


def _tiles(frame: Frame, attributes: Attributes) -> list[Frame]:
    """The slices of a mosaic; each file is a volume of its own, told from others by its InstanceNumber."""
    mosaic = frame.image.mosaic
    assert mosaic is not None
    between = attributes.number(tags.SPACING_BETWEEN_SLICES) or attributes.number(tags.SLICE_THICKNESS) or 0.0
    contrast = (*frame.contrast, f"{frame.image.instance_number or 0:09d}")
    tiles = []
    for index in range(mosaic.n_slices):
        position = None
        if frame.position and frame.orientation and frame.spacing and math.isfinite(between) and between > 0:
            position = mosaic.position(index, frame.position, frame.orientation, frame.spacing, between)
        tiles.append(replace(frame, index=index, position=position, contrast=contrast))
    return tiles
