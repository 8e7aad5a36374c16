"""The image readers of fine-tuning: whatever a datalist names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.config import PathLike
from monai.utils import MetaKeys, ensure_tuple
from numpy.typing import NDArray

from lvm_med_monai.data.samples import sample_exists, stacks_at
from lvm_med_monai.slices import SliceReader
from lvm_med_monai.slices.reader import Found

LARGEST_TINT = {"jpeg": 16}
"""Largest difference between the channels of a grey picture, by its format: lossy ones move them, others do not."""


class SampleReader(SliceReader):
    """``SliceReader`` for the entries of datalists: ``LoadImaged("image", reader="lvm_med_monai.data.SampleReader")``.

    Besides what `SliceReader` reads, it takes a slice of an extracted folder (``FOLDER/SLICE_ID``) and a GIF.

    Args:
        series: see `SliceReader`.
        affine_lps_to_ras: see `SliceReader`.
    """

    def verify_suffix(self, filename: Sequence[PathLike] | PathLike) -> bool:
        """True for whatever exists: the format is told by content."""
        return all(sample_exists(str(name)) for name in ensure_tuple(filename))

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> Found:
        """Find the stacks, without decoding pixels; see `SliceReader.read`."""
        names = [Path(str(name)) for name in ensure_tuple(data)]
        if all(name.exists() and name.suffix.lower() != ".gif" for name in names):
            return super().read(data, **kwargs)
        where = str(names[0]) if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
        return Found(where, tuple(item for name in names for item in stacks_at(name)))


class MaskReader(SampleReader):
    """`SampleReader` for masks, which are grey, and of which an image may have several.

    A list of masks becomes channels in its order: (W, H, D, masks). A mask stored in equal colours becomes grey; in a
    JPEG they may differ a little.
    """

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> Found:
        """Find the stacks of one mask, or of each of several."""
        names = ensure_tuple(data)
        if len(names) == 1:
            return super().read(data, **kwargs)
        return _SeveralMasks(f"{names[0]} and {len(names) - 1} more", [super(MaskReader, self).read(n) for n in names])

    def get_data(self, img: Found) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Decode the masks of one image.

        Returns:
            Array (W, H, D) of one mask, (W, H, D, masks) of several; and the metadata of the first.

        Raises:
            ValueError: see `SliceReader.choose`; or a mask is coloured, or several differ in size.
            FrameError: a file cannot be decoded.
        """
        if not isinstance(img, _SeveralMasks):
            return self._grey(img)
        read = [self._grey(mask) for mask in img.masks]
        arrays = [array for array, _ in read]
        if len({array.shape for array in arrays}) > 1:
            sizes = ", ".join(" x ".join(map(str, array.shape)) for array in arrays)
            raise ValueError(f"the masks of one image differ in size ({sizes}): {img.where}")
        return np.stack(arrays, -1), {**read[0][1], MetaKeys.ORIGINAL_CHANNEL_DIM: -1}

    def _grey(self, found: Found) -> tuple[NDArray[np.float32], dict[str, Any]]:
        array, meta = super().get_data(found)
        if array.ndim == 3:
            return array, meta
        if np.ptp(array, axis=-1).max() > LARGEST_TINT.get(self.choose(found).source_format, 0):
            name = Path(meta["filename_or_obj"]).name
            raise ValueError(f"mask {name} is coloured: save its classes as grey values, one number a class")
        return array[..., 0], {**meta, MetaKeys.ORIGINAL_CHANNEL_DIM: float("nan")}


class _SeveralMasks(Found):
    """What was found of each mask of one image."""

    def __init__(self, where: str, masks: Sequence[Found]) -> None:
        super().__init__(where, tuple(result for mask in masks for result in mask.results))
        object.__setattr__(self, "masks", tuple(masks))

    masks: tuple[Found, ...]
