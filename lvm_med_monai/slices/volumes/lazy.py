"""A volume that is read from its file when the first slice is asked for, and then shared by its stacks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lvm_med_monai.slices.stack import FrameError, Reject
from lvm_med_monai.slices.volumes.slabs import SlabError


class LazyVolume:
    """Calls ``load`` once.

    Args:
        path: file that is named when the load fails.
        load: returns the volume.
    """

    def __init__(self, path: Path, load: Callable[[], NDArray[Any]]) -> None:
        self.path = path
        self._load = load
        self._volume: NDArray[Any] | None = None

    def get(self) -> NDArray[Any]:
        """The volume; raises `FrameError` if the file cannot be read to its end."""
        if self._volume is None:
            self._volume = read_or_reject(self.path, self._load)
        return self._volume


def read_or_reject(path: Path, read: Callable[[], NDArray[Any]]) -> NDArray[Any]:
    """What ``read`` returns; any error of it but a lack of memory becomes a `FrameError` that names the file."""
    try:
        return read()
    except MemoryError:
        raise
    except Exception as error:  # a decoder may raise anything on a damaged file, which costs this file only
        # The type alone: messages of decoders quote paths.
        why = str(error) if isinstance(error, SlabError) else f"the pixels cannot be read ({type(error).__name__})"
        raise FrameError(Reject(path, "corrupt", f"{why}; copy the file again")) from error


def rescaled(volume: NDArray[Any], slope: float, intercept: float, dtype: np.dtype[Any]) -> NDArray[Any]:
    """``volume * slope + intercept`` as ``dtype``: by integer addition where that is exact, else in float64 first."""
    if slope == 1 and intercept == 0:
        return volume.astype(dtype, copy=False)
    if slope == 1 and np.issubdtype(dtype, np.integer):
        return np.add(volume, int(intercept), dtype=dtype, casting="unsafe")  # exact, since the sums fit
    values = volume.astype(np.float64)
    values *= slope
    values += intercept
    return values.astype(dtype)
