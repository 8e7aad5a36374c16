"""What every reader returns: a stack of parallel slices, or the reason why a file gave none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lvm_med_monai.slices.geometry import REGULAR_TOLERANCE, TILT_TOLERANCE_DEG, SliceGeometry

Units = Literal["HU", "raw", "display"]
Reason = Literal[
    "background",
    "burned_in_risk",
    "corrupt",
    "crashed",
    "dicomdir",
    "empty",
    "flat",
    "for_processing",
    "hidden",
    "localizer",
    "memory",
    "missing_data",
    "near_duplicate",
    "no_pixels",
    "not_image",
    "small",
    "spacing",
    "plane",
    "symlink",
    "timeout",
    "too_large",
    "truncated",
    "unrecognised",
    "unsupported",
]
REASONS: tuple[str, ...] = get_args(Reason)
FLAGS: dict[str, str] = {
    "burned_in_risk": "may show text: BurnedInAnnotation is YES, or is absent in ultrasound, angiography, screenshots",
    "duplicate_positions": "several slices lay at one position; they were dealt out to separate stacks",
    "gap": "a step is above 1.5 times the median: slices are missing",
    "instance_order": "no positions: slices are in the order of InstanceNumber, or of frames in the file",
    "irregular": "steps differ by more than 2 % of the median",
    "lossy": "the pixels went through a lossy codec",
    "missing": "a file of this stack could not be decoded; its slices are absent",
    "monochrome1": "stored with low values bright; inverted where the units are display, left alone elsewhere",
    "mosaic_order": "tiles of a mosaic without a CSA header; the first is taken for the lowest along row x column",
    "nan": "pixels that are not finite were replaced by the lowest finite value of the slice",
    "no_geometry": "position and orientation are not known; the coordinates are pixel indices",
    "no_rescale": "a CT without rescale intercept: the units are not HU",
    "no_spacing": "pixel size is not known and is set to 1",
    "padded": "the file declares a padding value; such pixels are set to background",
    "quantised": "values are no integers within 16 bits and are stored in 65,536 linear steps",
    "resampled": "interpolated: a plane other than the acquired one",
    "tilt": "the stack axis is not along the normal (gantry tilt)",
}
"""Every flag and its meaning; `docs/slices.md` repeats this table."""


@dataclass(frozen=True)
class Reject:
    """A file that gave no slice.

    Attributes:
        path: the file; kept in memory only.
        reason: code of the reason.
        detail: one sentence for people. It never quotes values of the file that could name a patient.
    """

    path: Path
    reason: Reason
    detail: str


class FrameError(Exception):
    """A slice whose pixels could not be decoded; ``reject`` names the file and the reason."""

    def __init__(self, reject: Reject) -> None:
        super().__init__(f"cannot decode a slice ({reject.reason}): {reject.detail}")
        self.reject = reject


@dataclass(frozen=True, eq=False)
class Stack:
    """Parallel slices of one size and modality, read lazily.

    Attributes:
        read_frame: from slice index to (H, W) in modality units, or (H, W, 3) uint8 for colour; raises `FrameError`.
        geometry: positions of the S slices.
        height: H, pixels.
        width: W, pixels.
        channels: 1, or 3 for colour.
        dtype: of the frames: int16 or int32 where the values are exact integers, float32 otherwise; uint8 for colour.
        modality: DICOM's code, such as "CT" or "MR", or "unknown".
        units: "HU" for CT, "raw" for values without a common scale, "display" for images made to be looked at.
        source_format: "dicom", "nifti", "analyze", "mgh", "metaimage", "nrrd", "png", "jpeg", "tiff" or "bmp".
        transfer_syntax: DICOM's UID, else "".
        sources: every file that belongs to the stack.
        frame_sources: (S,) index into ``sources`` of the file that holds each slice.
        flags: names out of `FLAGS`.
        patient_id: raw identifier; for hashing in memory only, as the next two. Empty if the file has none.
        study_id: StudyInstanceUID or empty.
        series_id: SeriesInstanceUID or empty.
        display_range: (lower, upper) in modality units that the file asks to be shown, or None; of the first slice.
        display_ranges: (S,) the same of every slice; empty where all slices agree.
        fill_frame: as ``read_frame``, but into a contiguous array of ``frame_shape`` and ``dtype``; or None. It saves
            copying. Whoever replaces one replaces the other.
    """

    read_frame: Callable[[int], NDArray[np.generic]]
    geometry: SliceGeometry
    height: int
    width: int
    channels: int
    dtype: np.dtype[np.generic]
    modality: str
    units: Units
    source_format: str
    sources: tuple[Path, ...]
    frame_sources: tuple[int, ...]
    transfer_syntax: str = ""
    flags: frozenset[str] = frozenset()
    patient_id: str = field(default="", repr=False)
    study_id: str = field(default="", repr=False)
    series_id: str = field(default="", repr=False)
    display_range: tuple[float, float] | None = None
    display_ranges: tuple[tuple[float, float] | None, ...] = ()
    fill_frame: Callable[[int, NDArray[np.generic]], None] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if unknown := self.flags - FLAGS.keys():
            raise ValueError(f"flags {sorted(unknown)} are not in the table; known are {sorted(FLAGS)}")
        if len(self.frame_sources) != self.geometry.n_slices:
            raise ValueError(f"{len(self.frame_sources)} frame sources for {self.geometry.n_slices} slices")
        if self.display_ranges and len(self.display_ranges) != self.geometry.n_slices:
            raise ValueError(f"{len(self.display_ranges)} display ranges for {self.geometry.n_slices} slices")

    @property
    def n_slices(self) -> int:
        """S."""
        return self.geometry.n_slices

    @property
    def frame_shape(self) -> tuple[int, ...]:
        """(H, W), or (H, W, 3) for colour."""
        return (self.height, self.width, 3) if self.channels == 3 else (self.height, self.width)

    def frame(self, index: int) -> NDArray[np.generic]:
        """One slice.

        Args:
            index: 0 to S - 1.

        Returns:
            (H, W) of ``dtype`` in modality units, or (H, W, 3) uint8.

        Raises:
            IndexError: outside of the stack; negative indices are outside.
            FrameError: the file cannot be decoded.
        """
        if not 0 <= index < self.n_slices:
            raise IndexError(f"slice {index} of a stack of {self.n_slices}")
        return self.read_frame(index)

    def array(self) -> NDArray[np.generic]:
        """All slices, (S, H, W) or (S, H, W, 3); raises `FrameError` if one cannot be decoded."""
        out = np.empty((self.n_slices, *self.frame_shape), dtype=self.dtype)
        for index in range(self.n_slices):
            if self.fill_frame is not None:
                self.fill_frame(index, out[index])
            else:
                out[index] = self.frame(index)
        return out


def geometry_flags(geometry: SliceGeometry) -> frozenset[str]:
    """Flags that follow from positions alone: gap, irregular, tilt."""
    flags = set()
    spacing = geometry.slice_spacing
    if geometry.gaps:
        flags.add("gap")
    elif spacing is not None and geometry.max_deviation > REGULAR_TOLERANCE * spacing:
        flags.add("irregular")
    if geometry.tilt_deg > TILT_TOLERANCE_DEG:
        flags.add("tilt")
    return frozenset(flags)


def exact_dtype(low: float, high: float, integral: bool) -> DTypeLike:
    """Smallest of int16, int32 and float32 for values in [low, high]; float32 unless they are integers."""
    if not integral:
        return np.float32
    for dtype in (np.int16, np.int32):
        info = np.iinfo(dtype)
        if info.min <= low and high <= info.max:
            return dtype
    return np.float32
