"""From a DICOM folder to the stacks of one series, each slice with the file and frame that it comes from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset

from lvm_med_monai.apps.deploy.headers import read_headers
from lvm_med_monai.apps.deploy.problems import DeployError
from lvm_med_monai.slices.dicom.frames import Frame
from lvm_med_monai.slices.dicom.reader import read_frames
from lvm_med_monai.slices.dicom.series import build_stack, group_frames
from lvm_med_monai.slices.dicom.twins import unprocessed_twins
from lvm_med_monai.slices.inputs.detect import first_bytes, kind_of
from lvm_med_monai.slices.inputs.walk import list_files, unknown
from lvm_med_monai.slices.stack import Reject, Stack

HARMLESS = frozenset(["dicomdir", "for_processing", "hidden", "localizer", "not_image", "symlink", "unrecognised"])
"""Files that lie beside a series without being part of it. Any other reject stops the run: a slice would be missing."""


@dataclass(frozen=True, eq=False)
class SourceImage:
    """One stack of the series and where its slices come from.

    Attributes:
        stack: slices in order, with their geometry.
        files: (S,) file of each slice.
        frames: (S,) number of the frame in its file, from 1, or None if the file holds a single image.
        headers: reduced header of each file.
    """

    stack: Stack
    files: tuple[Path, ...]
    frames: tuple[int | None, ...]
    headers: dict[Path, Dataset]

    @property
    def placed(self) -> bool:
        """Whether the slices have positions in the patient."""
        return "no_geometry" not in self.stack.flags and all("FrameOfReferenceUID" in h for h in self.headers.values())

    def header(self, index: int) -> Dataset:
        """Reduced header of the file that holds a slice."""
        return self.headers[self.files[index]]


def read_series(folder: Path, series: str | None = None) -> list[SourceImage]:
    """The stacks of the one series in a folder, without decoding pixels.

    A series whose slices share positions (cine, b-values, echoes, phases) becomes several stacks, as
    `lvm_med_monai.slices` splits it; each is served on its own.

    Args:
        folder: DICOM files at any depth, or one file.
        series: which series of several: its number in the list of the error message, or its SeriesInstanceUID.

    Returns:
        One image for each stack, in an order that does not depend on file names.

    Raises:
        DeployError: no file, no image, a damaged file, several series and no choice, or identifiers that are missing
            or disagree.
    """
    frames, rejects = _read_files(folder)
    twins = {image.path for image in unprocessed_twins(frames)}
    frames = [frame for frame in frames if frame.image.path not in twins]
    if damaged := [reject for reject in rejects if reject.reason not in HARMLESS]:
        first = damaged[0]
        raise DeployError(f"{first.path.name} cannot be used ({first.reason}): {first.detail}. Send the file again")
    if not frames:
        reasons = sorted({f"{reject.reason}: {reject.detail}" for reject in rejects})
        raise DeployError(f"{folder} holds no DICOM image that can be read ({'; '.join(reasons) or 'no files'})")
    if any(frame.image.mosaic for frame in frames):
        raise DeployError(f"{folder} holds a mosaic, whose tiles cannot be referred to; convert it to single slices")
    chosen = _choose(frames, folder, series)
    headers = read_headers(sorted({frame.image.path for frame in chosen}))
    images = []
    for group in group_frames(chosen):
        stack = build_stack(group, missing=False)
        files = tuple(frame.image.path for frame in group.frames)
        numbers = tuple(frame.index + 1 if frame.image.n_frames > 1 else None for frame in group.frames)
        images.append(SourceImage(stack, files, numbers, {file: headers[file] for file in files}))
    return images


def _read_files(folder: Path) -> tuple[list[Frame], list[Reject]]:
    try:
        files, rejects = list_files(folder)
    except (FileNotFoundError, ValueError) as error:
        raise DeployError(f"{folder} holds no files; give a folder with one DICOM series") from error
    frames: list[Frame] = []
    for file in files:
        kind = kind_of(file, first_bytes(file))
        if kind == "unknown":
            cut = Reject(file, "corrupt", "named as DICOM, but does not begin as DICOM does")
            rejects.append(cut if file.suffix.lower() == ".dcm" and first_bytes(file) else unknown(file))
        elif kind != "dicom":
            rejects.append(Reject(file, "unrecognised", f"no DICOM but {kind}"))
        elif isinstance(found := read_frames(file), Reject):
            rejects.append(found)
        else:
            frames.extend(found)
    return frames, rejects


def _choose(frames: Sequence[Frame], folder: Path, series: str | None) -> list[Frame]:
    by_series: dict[str, list[Frame]] = defaultdict(list)
    for frame in frames:
        by_series[frame.image.series_id].append(frame)
    names = sorted(by_series)
    if series is None and len(names) == 1:
        return by_series[names[0]]
    wanted = names[int(series)] if series and series.isdigit() and int(series) < len(names) else series
    if wanted in by_series:
        return by_series[wanted]
    listed = "\n".join(f"  {i}: {_describe(by_series[name])}" for i, name in enumerate(names))
    fault = f"{folder} holds {len(names)} series" if series is None else f"{folder} has no series {series!r}"
    raise DeployError(f"{fault}:\n{listed}\nChoose one with --series NUMBER or --series SERIES_INSTANCE_UID")


def _describe(frames: Sequence[Frame]) -> str:
    image = frames[0].image
    return f"{image.modality}, {len(frames)} slices of {image.rows} x {image.columns}"
