"""From a DICOM folder to the stacks of one series, each slice with the file and frame that it comes from."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import UID

from lvm_med_monai.apps.deploy.choice import choose
from lvm_med_monai.apps.deploy.folder import read_folder, summary, without_twins
from lvm_med_monai.apps.deploy.headers import read_headers
from lvm_med_monai.apps.deploy.problems import DeployError
from lvm_med_monai.slices.dicom.display import picture_range
from lvm_med_monai.slices.dicom.frames import Frame
from lvm_med_monai.slices.dicom.image import SECONDARY_CAPTURE
from lvm_med_monai.slices.dicom.series import build_stack, group_frames
from lvm_med_monai.slices.stack import Stack

SCOUT_COSINE = 0.5
"""A CT slice whose normal has a smaller cosine with that of the others, 60 degrees or more apart, is a scout."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class SourceImage:
    """One stack of the series and where its slices come from.

    Attributes:
        stack: slices in order, with their geometry.
        files: (S,) file of each slice.
        frames: (S,) number of the frame in its file, from 1, or None if the file holds a single image.
        ranges: (S,) values between which each slice is shown, or None where its file does not say.
        headers: reduced header of each file.
    """

    stack: Stack
    files: tuple[Path, ...]
    frames: tuple[int | None, ...]
    ranges: tuple[tuple[float, float] | None, ...]
    headers: dict[Path, Dataset]

    @property
    def placed(self) -> bool:
        """Whether the slices have positions in the patient, and all that results need to repeat them."""
        return "no_geometry" not in self.stack.flags and not self.missing_beside_positions

    @property
    def missing_beside_positions(self) -> str:
        """The attribute that slices with positions lack, so that results cannot repeat the positions; or empty."""
        if "no_geometry" in self.stack.flags:
            return ""
        if "no_spacing" in self.stack.flags:
            return "PixelSpacing"
        named = all("FrameOfReferenceUID" in header for header in self.headers.values())
        return "" if named else "FrameOfReferenceUID"

    def header(self, index: int) -> Dataset:
        """Reduced header of the file that holds a slice."""
        return self.headers[self.files[index]]

    @property
    def kind(self) -> tuple[str, int]:
        """SOP class and channels, in which all stacks of a series agree."""
        return str(self.header(0).SOPClassUID), self.stack.channels

    def __str__(self) -> str:
        stack = self.stack
        size = f"{stack.n_slices} slices of {stack.height} x {stack.width}"
        return f"{size} ({UID(self.kind[0]).name}, {stack.geometry.plane if self.placed else 'not placed'})"


def read_series(folder: Path, series: str | None = None) -> list[SourceImage]:
    """The stacks of the one series in a folder, without decoding pixels.

    A series whose slices share positions (cine, b-values, echoes, phases) becomes several stacks, as
    `lvm_med_monai.slices` splits it; each is served on its own. What is left alone is logged, and slices whose places
    are in no named space.

    Args:
        folder: DICOM files at any depth, or one file.
        series: which series of several: its SeriesNumber or SeriesInstanceUID.

    Returns:
        One image for each stack, in an order that does not depend on file names.

    Raises:
        DeployError: no file, no image, a damaged file, several series and no choice, or identifiers that are missing
            or disagree, or a mosaic.
    """
    frames, beside = read_folder(folder)
    if not frames:
        reasons = sorted({f"{reject.reason}: {reject.detail}" for reject in beside})
        raise DeployError(f"{folder} holds no DICOM image that can be read ({'; '.join(reasons) or 'no files'})")
    if series is None:
        frames, twins = without_twins(frames)  # the processed twin may be a series of its own
        frames = choose(frames, folder, series)
    else:
        frames, twins = without_twins(choose(frames, folder, series))
    if any(frame.image.mosaic for frame in frames):
        raise DeployError(
            f"the series in {folder} is a mosaic, whose tiles cannot be referred to; convert it to slices"
        )
    if beside or twins:
        _log.warning("files left alone: %s", summary([*beside, *twins]))
    return _of_one_kind(_stacks(frames))


def _stacks(frames: Sequence[Frame]) -> list[SourceImage]:
    headers = read_headers(sorted({frame.image.path for frame in frames}))
    images = []
    for group in group_frames(frames):
        files = tuple(frame.image.path for frame in group.frames)
        numbers = tuple(frame.index + 1 if frame.image.n_frames > 1 else None for frame in group.frames)
        stack = build_stack(group, missing=False)
        ranges = tuple(picture_range(frame) for frame in group.frames)
        images.append(SourceImage(stack, files, numbers, ranges, {file: headers[file] for file in files}))
    return images


def _of_one_kind(images: Sequence[SourceImage]) -> list[SourceImage]:
    """Without screenshots, other kinds than the most frequent, and scouts that do not call themselves so."""
    sizes: Counter[tuple[str, int]] = Counter()
    for image in images:
        sizes[image.kind] += image.stack.n_slices
    kind = max(sizes, key=lambda found: (not found[0].startswith(SECONDARY_CAPTURE), sizes[found], found))
    alike = [image for image in images if image.kind == kind]
    largest = max(alike, key=lambda image: image.stack.n_slices)
    served = [image for image in alike if not _is_scout(image, largest)]
    for image in images:
        if image not in served:
            _log.warning("left alone, as it is no part of the series' images: %s", image)
    for missing in sorted({image.missing_beside_positions for image in served} - {""}):
        _log.warning("the slices have positions but no %s, so results have no positions", missing)
    if len(served) > 1:
        _log.warning("stacks served each on its own: %s", "; ".join(str(image) for image in served))
    return served


def _is_scout(image: SourceImage, largest: SourceImage) -> bool:
    single = image.stack.n_slices == 1 < largest.stack.n_slices
    cosine = float(image.stack.geometry.normal @ largest.stack.geometry.normal)
    return single and image.placed and image.stack.units == "HU" and abs(cosine) < SCOUT_COSINE
