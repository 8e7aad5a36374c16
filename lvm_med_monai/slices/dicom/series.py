"""Grouping DICOM frames into stacks: what belongs together, in which order, and what is odd about it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lvm_med_monai.slices.dicom.display import display_range
from lvm_med_monai.slices.dicom.frames import Frame
from lvm_med_monai.slices.dicom.pixels import FrameDecoder, value_dtype
from lvm_med_monai.slices.geometry import DUPLICATE_TOLERANCE_MM, ORTHOGONAL_TOLERANCE, SliceGeometry
from lvm_med_monai.slices.stack import Stack, geometry_flags

COSINE_DIGITS = 4
"""Decimals of direction cosines that must agree within a stack; decimal strings are rounded by their writers."""
SPACING_DIGITS = 4
"""Decimals of pixel spacing, mm, that must agree within a stack."""


@dataclass(frozen=True)
class Group:
    """Frames of one stack in their order, and what was found while ordering them."""

    frames: tuple[Frame, ...]
    flags: frozenset[str]


def group_frames(frames: Iterable[Frame]) -> list[Group]:
    """Split frames into stacks and sort each.

    Frames share a stack if they agree in study and series (in folder, where the series is not named), size, samples,
    orientation, pixel spacing, frame of reference, modality and contrast (stack, time, b-value, echo). Within it they
    ascend along row x column. Where positions repeat, the acquisition numbers split the stack if that undoes all
    repeats; otherwise the repeats at each place are dealt out in the order of InstanceNumber. Frames without a position
    or orientation stay in the order of InstanceNumber, then file name, then frame number.

    Returns:
        Groups in an order that does not depend on that of ``frames``.
    """
    split: dict[tuple[str, ...], list[Frame]] = defaultdict(list)
    for frame in frames:
        split[_split_key(frame)].append(frame)
    groups: list[Group] = []
    for key in sorted(split):
        members = sorted(split[key], key=_instance_key)
        if _is_placed(members[0]):
            groups.extend(_placed(members))
        else:
            groups.append(Group(tuple(members), frozenset({"no_geometry", "instance_order"})))
    return groups


def build_stack(group: Group, missing: bool) -> Stack:
    """Stack of a group, with nothing decoded.

    Args:
        group: frames in order.
        missing: whether a file of the same series was rejected.
    """
    first = group.frames[0]
    image = first.image
    geometry, flags = _geometry(group)
    sources = tuple(dict.fromkeys(frame.image.path for frame in group.frames))
    numbers = {path: i for i, path in enumerate(sources)}
    flags |= group.flags | _image_flags(group.frames) | ({"missing"} if missing else set())
    dtype = np.result_type(*{value_dtype(frame) for frame in group.frames})
    dtype = np.dtype(np.float32) if dtype.kind == "f" else dtype
    reader = _Reader(group.frames, dtype)
    ranges = tuple(display_range(frame) for frame in group.frames)
    return Stack(
        read_frame=reader.read,
        geometry=geometry,
        height=image.rows,
        width=image.columns,
        channels=3 if image.colour else 1,
        dtype=dtype,
        modality=image.modality,
        units=first.units,
        source_format="dicom",
        sources=sources,
        frame_sources=tuple(numbers[frame.image.path] for frame in group.frames),
        transfer_syntax=image.syntax,
        flags=frozenset(flags),
        patient_id=image.patient_id,
        study_id=image.study_id,
        series_id=image.series_id,
        display_range=ranges[0],
        display_ranges=ranges if len(set(ranges)) > 1 else (),
        fill_frame=reader.fill,
    )


class _Reader:
    """Decodes frames of a stack to its type."""

    def __init__(self, frames: tuple[Frame, ...], dtype: np.dtype[Any]) -> None:
        self._frames, self._dtype, self._decoder = frames, dtype, FrameDecoder()

    def read(self, index: int) -> NDArray[Any]:
        return self._decoder.decode(self._frames[index]).astype(self._dtype, copy=False)

    def fill(self, index: int, out: NDArray[Any]) -> None:
        values = self._decoder.decode(self._frames[index], out)
        if not np.may_share_memory(values, out):
            out[...] = values


def _split_key(frame: Frame) -> tuple[str, ...]:
    image = frame.image
    series = (image.study_id, image.series_id) if image.series_id else ("", str(image.path.parent))
    cosines = tuple(f"{c:.{COSINE_DIGITS}f}".replace("-0.0000", "0.0000") for c in frame.orientation or ())
    spacing = tuple(f"{s:.{SPACING_DIGITS}f}" for s in frame.spacing or ())
    placed = str(frame.position is not None)
    size = (str(image.rows), str(image.columns), str(image.samples), image.photometric, frame.units, placed)
    return (*series, image.modality, *size, *frame.contrast, image.frame_of_reference, *spacing, *cosines)


def _instance_key(frame: Frame) -> tuple[float, str, int]:
    number = frame.image.instance_number
    return (float("inf") if number is None else number, str(frame.image.path), frame.index)


def _is_placed(frame: Frame) -> bool:
    if frame.position is None or frame.orientation is None:
        return False
    a, b, c, d, e, f = frame.orientation
    lengths = math.sqrt(a * a + b * b + c * c), math.sqrt(d * d + e * e + f * f)
    skew = abs(a * d + b * e + c * f)
    return max(abs(lengths[0] - 1), abs(lengths[1] - 1), skew) <= ORTHOGONAL_TOLERANCE


def _position(frame: Frame) -> float:
    """Distance from the LPS origin along row x column, mm."""
    assert frame.orientation is not None
    assert frame.position is not None
    a, b, c, d, e, f = frame.orientation
    x, y, z = frame.position
    return (b * f - c * e) * x + (c * d - a * f) * y + (a * e - b * d) * z


def _placed(members: list[Frame]) -> Iterator[Group]:
    if not _repeats(members):
        yield Group(tuple(sorted(members, key=_position)), frozenset())
        return
    duplicated = frozenset({"duplicate_positions"})
    by_acquisition: dict[int, list[Frame]] = defaultdict(list)
    for frame in members:
        by_acquisition[frame.image.acquisition_number or 0].append(frame)
    if not any(_repeats(part) for part in by_acquisition.values()):
        dealt = [by_acquisition[number] for number in sorted(by_acquisition)]
    else:
        dealt = _deal(members)
    for part in dealt:
        yield Group(tuple(sorted(part, key=_position)), duplicated)


def _repeats(frames: list[Frame]) -> bool:
    positions = np.sort([_position(frame) for frame in frames])
    return bool((np.diff(positions) < DUPLICATE_TOLERANCE_MM).any())


def _deal(members: list[Frame]) -> list[list[Frame]]:
    """The k-th frame at each place goes to the k-th stack; ``members`` are in the order of InstanceNumber."""
    dealt: list[list[Frame]] = []
    last, rank = -np.inf, 0
    # The sort is stable, so frames at one place keep their order.
    for frame in sorted(members, key=lambda f: round(_position(f) / DUPLICATE_TOLERANCE_MM)):
        position = _position(frame)
        rank = rank + 1 if position - last < DUPLICATE_TOLERANCE_MM else 0
        last = position if rank == 0 else last
        if rank == len(dealt):
            dealt.append([])
        dealt[rank].append(frame)
    return dealt


def _geometry(group: Group) -> tuple[SliceGeometry, set[str]]:
    first = group.frames[0]
    spacing = first.spacing or (1.0, 1.0)
    flags = set() if first.spacing else {"no_spacing"}
    if "no_geometry" in group.flags:
        origins = np.zeros((len(group.frames), 3))
        origins[:, 2] = np.arange(len(group.frames))
        return SliceGeometry(origins, np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), spacing), flags
    assert first.orientation is not None
    origins = np.array([frame.position for frame in group.frames])
    geometry = SliceGeometry(origins, np.array(first.orientation[:3]), np.array(first.orientation[3:]), spacing)
    return geometry, flags | geometry_flags(geometry)


def _image_flags(frames: tuple[Frame, ...]) -> set[str]:
    found = {
        "burned_in_risk": any(f.image.burned_in_risk for f in frames),
        "mosaic_order": any(f.image.mosaic is not None and f.image.mosaic.normal is None for f in frames),
        "lossy": any(f.image.lossy for f in frames),
        "monochrome1": frames[0].image.photometric == "MONOCHROME1",
        "padded": any(f.image.padding is not None for f in frames),
        "no_rescale": frames[0].image.modality == "CT" and frames[0].units == "raw",
    }
    return {name for name, holds in found.items() if holds}
