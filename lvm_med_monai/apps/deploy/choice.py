"""Which series of several is meant."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pydicom

from lvm_med_monai.apps.deploy.problems import DeployError
from lvm_med_monai.slices.dicom.frames import Frame


def choose(frames: Sequence[Frame], folder: Path, series: str | None) -> list[Frame]:
    """Frames of one series.

    Args:
        frames: of all series of a folder.
        folder: for the message.
        series: SeriesNumber or SeriesInstanceUID; None accepts a single series only.

    Raises:
        DeployError: several series and no choice, or a choice that fits none or several; the message lists them.
    """
    by_uid: dict[str, list[Frame]] = defaultdict(list)
    for frame in frames:
        by_uid[frame.image.series_id].append(frame)
    if series is None and len(by_uid) == 1:
        return list(frames)
    numbers = {uid: _series_number(found[0].image.path) for uid, found in by_uid.items()}
    meant = [uid for uid in by_uid if series is not None and series in (uid, numbers[uid])]
    if len(meant) == 1:
        return by_uid[meant[0]]
    listed = "\n".join(sorted(f"  {_describe(found)}, {_name(uid, numbers[uid])}" for uid, found in by_uid.items()))
    fault = f"{folder} holds {len(by_uid)} series"
    if series is not None:
        fault = f"{folder} has {len(meant) or 'no'} series {series!r}"
    raise DeployError(f"{fault}:\n{listed}\nChoose one with --series SERIES_NUMBER or --series SERIES_INSTANCE_UID")


def _series_number(path: Path) -> str | None:
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SeriesNumber"], force=True)
        return str(int(header.SeriesNumber))
    except Exception:  # missing or no number; pydicom raises many types
        return None


def _describe(frames: Sequence[Frame]) -> str:
    image = frames[0].image
    return f"{image.modality}, {len(frames)} slices of {image.rows} x {image.columns}"


def _name(uid: str, number: str | None) -> str:
    return f"SeriesNumber {number or 'missing'}, SeriesInstanceUID {uid or 'missing'}"
