"""What a folder holds: frames of DICOM images, files beside them, and files without which slices would be missing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import UID

from lvm_med_monai.apps.deploy.problems import DeployError
from lvm_med_monai.slices.dicom.frames import Frame
from lvm_med_monai.slices.dicom.header import NOT_SLICES
from lvm_med_monai.slices.dicom.reader import read_frames
from lvm_med_monai.slices.dicom.twins import unprocessed_twins
from lvm_med_monai.slices.inputs.detect import first_bytes, kind_of
from lvm_med_monai.slices.inputs.walk import list_files, unknown
from lvm_med_monai.slices.stack import Reject

HARMLESS = frozenset(["dicomdir", "hidden", "localizer", "not_image", "symlink", "unrecognised"])
"""Files that lie beside a series without being part of it. Any other reject stops the run: a slice would be missing."""
IMAGE_CLASS = "Image Storage"
"""In the name of every SOP class of images."""
NOT_READ = frozenset(["hidden", "symlink"])
"""Files that are not read for their name or place, whatever they hold."""


def read_folder(folder: Path) -> tuple[list[Frame], list[Reject]]:
    """Frames below a folder, of all series, without decoding pixels, and the files that were left alone.

    Args:
        folder: DICOM files at any depth, or one file.

    Raises:
        DeployError: no file, or one that is damaged or not to be read and may hold a slice.
    """
    frames, rejects = _read_files(folder)
    rejects = [_withheld(reject) or reject for reject in rejects]
    if faults := [reject for reject in rejects if reject.reason not in HARMLESS]:
        first = faults[0]
        cure = "Copy it, or take it away" if first.reason == "missing_data" else "Send the file again"
        raise DeployError(f"{first.path.name} cannot be used ({first.reason}): {first.detail}. {cure}")
    return frames, rejects


def without_twins(frames: Sequence[Frame]) -> tuple[list[Frame], list[Reject]]:
    """Frames without radiographs whose processed twin is among them, and these as rejects."""
    twins = {image.path for image in unprocessed_twins(frames)}
    rejects = [Reject(path, "for_processing", "the unprocessed twin of an image") for path in sorted(twins)]
    return [frame for frame in frames if frame.image.path not in twins], rejects


def summary(rejects: Iterable[Reject]) -> str:
    """Reasons with their number of files and the first of them, such as "2 not_image (old.dcm, ...)"."""
    names: dict[str, list[str]] = defaultdict(list)
    for reject in rejects:
        names[reject.reason].append(reject.path.name)
    return ", ".join(
        f"{len(found)} {reason} ({found[0]}{', ...' if len(found) > 1 else ''})"
        for reason, found in sorted(names.items())
    )


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
            rejects.append(_cut(found) or found)
        else:
            frames.extend(found)
    return frames, rejects


def _cut(reject: Reject) -> Reject | None:
    """The reject of an image of which so little is left that it looks like something else."""
    if reject.reason not in ("not_image", "unrecognised"):
        return None
    try:
        header = pydicom.dcmread(reject.path, stop_before_pixels=True, specific_tags=["SOPClassUID"], force=True)
        meta = getattr(header, "file_meta", Dataset())
        sop_class = UID(str(header.get("SOPClassUID") or meta.get("MediaStorageSOPClassUID") or ""))
    except Exception:  # pydicom raises many types on damaged files
        return Reject(reject.path, "corrupt", "the header cannot be read")
    if reject.reason == "unrecognised" or (IMAGE_CLASS in sop_class.name and sop_class not in NOT_SLICES):
        return Reject(reject.path, "truncated", "a DICOM file that ends in its header, before any pixels")
    return None


def _withheld(reject: Reject) -> Reject | None:
    """The reject of a file that is not read although it is, or was, a slice."""
    file = reject.path
    if file.is_symlink() and not file.exists():
        return Reject(file, "missing_data", "a link that leads nowhere, where a slice may have been")
    if reject.reason not in NOT_READ or not file.is_file() or kind_of(file, first_bytes(file)) != "dicom":
        return None
    found = read_frames(file)
    if isinstance(found, Reject) and found.reason in HARMLESS:
        return None
    return Reject(file, "missing_data", f"a DICOM image that is not read: {reject.detail}")
