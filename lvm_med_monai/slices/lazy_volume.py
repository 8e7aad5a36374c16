"""A volume that is read from its file when the first slice is asked for, and then shared by its stacks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lvm_med_monai.slices.stack import FrameError, Reject


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
            try:
                self._volume = self._load()
            except Exception as error:  # a decoder may raise anything on a damaged file, which costs this file only
                # The type alone: messages of decoders quote paths.
                detail = f"the pixels cannot be read ({type(error).__name__}); copy the file again"
                raise FrameError(Reject(self.path, "corrupt", detail)) from error
        return self._volume


def rescaled(volume: NDArray[Any], slope: float, intercept: float, dtype: np.dtype[Any]) -> NDArray[Any]:
    """``volume * slope + intercept`` as ``dtype``: by integer addition where that is exact, else in float64 first."""
    if slope == 1 and intercept != 0 and np.issubdtype(dtype, np.integer):
        return (volume.astype(np.int64) + int(intercept)).astype(dtype)
    if slope == 1 and intercept == 0:
        return volume.astype(dtype, copy=False)
    return (volume.astype(np.float64) * slope + intercept).astype(dtype)
