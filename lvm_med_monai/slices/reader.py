"""A MONAI image reader with this package's series logic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from monai.config import PathLike
from monai.data import ImageReader
from monai.utils import MetaKeys, SpaceKeys, ensure_tuple
from numpy.typing import NDArray

from lvm_med_monai.slices.finite import finite
from lvm_med_monai.slices.geometry import LPS_TO_RAS
from lvm_med_monai.slices.inputs.walk import list_files, stacks_of_files
from lvm_med_monai.slices.stack import Reject, Stack

LARGEST = "largest"


@dataclass(frozen=True)
class Found:
    """What `SliceReader.read` found.

    Attributes:
        where: the input, for messages.
        results: stacks and rejects in the order of `iter_stacks`.
    """

    where: str
    results: tuple[Stack | Reject, ...]


class SliceReader(ImageReader):
    """Reads one stack: ``LoadImaged(keys="image", reader="lvm_med_monai.slices.SliceReader")``.

    Takes a DICOM folder, a list of DICOM files, or one file of any format of `iter_stacks`. Slices ascend along
    row x column and are turned as `iter_stacks` turns them; the affine says so. Other readers may reverse axes, with
    an affine to match: compare in world coordinates only.

    Args:
        series: which stack of an input that holds several: its index in the order of `iter_stacks`, or "largest" for
            the one with most pixels (the first on a tie). None accepts a single stack only.
        affine_lps_to_ras: give the affine to RAS, as MONAI expects, or leave it LPS.
    """

    def __init__(self, series: int | str | None = None, affine_lps_to_ras: bool = True) -> None:
        super().__init__()
        if isinstance(series, str) and series != LARGEST:
            raise ValueError(f'series is an index or "{LARGEST}", got "{series}"')
        self.series = series
        self.affine_lps_to_ras = affine_lps_to_ras

    def verify_suffix(self, filename: Sequence[PathLike] | PathLike) -> bool:
        """True for whatever exists: the format is told by content."""
        return all(Path(name).exists() for name in ensure_tuple(filename))

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> Found:
        """Find the stacks, without decoding pixels.

        Nothing is wrong yet if there is none or more than one: MONAI's LoadImage answers an error of ``read`` by trying
        its other readers, which would take one series of several without a word. An error of `get_data` is final.

        Args:
            data: folder, file, or files of one stack.
            kwargs: none; MONAI's interface has them.
        """
        if kwargs:
            raise ValueError(f"SliceReader takes no arguments when reading, got {', '.join(kwargs)}")
        names = [Path(name) for name in ensure_tuple(data)]
        files = [file for name in names for file in list_files(name)[0]]
        where = str(names[0]) if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
        return Found(where, tuple(stacks_of_files(files)))

    def choose(self, found: Found) -> Stack:
        """The stack that ``series`` asks for.

        Raises:
            ValueError: there is no stack, or several and ``series`` does not choose; the message lists them.
        """
        stacks = [result for result in found.results if isinstance(result, Stack)]
        if not stacks:
            reasons = sorted({f"{r.reason}: {r.detail}" for r in found.results if isinstance(r, Reject)})
            raise ValueError(f"{found.where} holds no readable slices ({'; '.join(reasons) or 'hidden files only'})")
        if self.series == LARGEST:
            return max(stacks, key=lambda stack: stack.n_slices * stack.height * stack.width)
        if isinstance(self.series, int):
            if not 0 <= self.series < len(stacks):
                raise ValueError(f"{found.where} has no stack {self.series}:\n{_listing(stacks)}")
            return stacks[self.series]
        if len(stacks) > 1:
            raise ValueError(
                f"{found.where} holds {len(stacks)} stacks:\n{_listing(stacks)}\n"
                f'Choose one with SliceReader(series=INDEX) or series="{LARGEST}", or give the files of one series'
            )
        return stacks[0]

    def get_data(self, img: Found) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Choose a stack and decode it.

        Args:
            img: what `read` returned.

        Returns:
            Array (W, H, D) float32 in modality units, or (W, H, D, 3) for colour, D being the slices; and MONAI's
            metadata, with the affine from (column, row, slice) to RAS mm. Pixels that are not finite have the lowest
            finite value of their slice, and the flag ``nan`` says so.

        Raises:
            ValueError: see `choose`.
            FrameError: a file cannot be decoded.
        """
        stack = self.choose(img)
        stored = stack.array()
        flags = stack.flags
        if stored.dtype.kind == "f" and not np.isfinite(stored).all():
            stored, flags = np.stack([finite(frame) for frame in stored]), flags | {"nan"}
        frames = np.asarray(stored, dtype=np.float32)
        array = np.ascontiguousarray(np.swapaxes(frames, 0, 2))
        affine = LPS_TO_RAS @ stack.geometry.affine if self.affine_lps_to_ras else stack.geometry.affine
        meta: dict[str, Any] = {
            MetaKeys.AFFINE: affine.copy(),
            MetaKeys.ORIGINAL_AFFINE: affine,
            MetaKeys.SPACE: SpaceKeys.RAS if self.affine_lps_to_ras else SpaceKeys.LPS,
            MetaKeys.SPATIAL_SHAPE: np.asarray(array.shape[:3]),
            MetaKeys.ORIGINAL_CHANNEL_DIM: -1 if stack.channels == 3 else float("nan"),
            "filename_or_obj": str(stack.sources[0]),
            "spacing": np.array([*stack.geometry.spacing[::-1], stack.geometry.slice_spacing or 1.0]),
            "flags": sorted(flags),
            "modality": stack.modality,
            "units": stack.units,
        }
        return array, meta


def _listing(stacks: list[Stack]) -> str:
    lines = []
    for i, stack in enumerate(stacks):
        size = f"{stack.n_slices} slices of {stack.height} x {stack.width}"
        lines.append(f"  {i}: {stack.modality}, {size}, {stack.geometry.plane}, first file {stack.sources[0]}")
    return "\n".join(lines)
