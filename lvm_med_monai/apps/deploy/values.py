"""Pixels of a source image as a bundle takes them."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lvm_med_monai.apps.deploy.model import DeployModel
from lvm_med_monai.apps.deploy.problems import DeployError
from lvm_med_monai.apps.deploy.series import SourceImage
from lvm_med_monai.slices.histogram import Histogram
from lvm_med_monai.slices.reader import Found, SliceReader
from lvm_med_monai.slices.stack import FrameError
from lvm_med_monai.slices.windows import Window, to_uint8, window_of_values

Meta = dict[str, Any]
MEASURED = frozenset(["CT", "MR", "NM", "PT"])
"""Modalities whose values are measured: a bundle for one cannot serve another, and one for pictures can serve none."""


def volume_of(image: SourceImage, model: DeployModel) -> tuple[NDArray[np.float32], Meta]:
    """All slices of a stack.

    Each slice is rescaled by its own slope and intercept, in float32. For a bundle that takes pictures, the grey values
    of each slice are mapped to 0..255 by the window that its file asks to be shown with. Where a file asks for none,
    8 bits are taken as they are, and more by percentiles: of the file, or of the stack where slices have positions.

    Returns:
        Array (W, H, D), or (W, H, D, 3) for colour, and MONAI's metadata with the affine to RAS mm.

    Raises:
        DeployError: pixels cannot be decoded, the bundle is for another kind of series, a CT lacks HU, or the size of
            pixels is not known to a bundle that resamples to mm.
    """
    _check_kind(image, model)
    try:
        array, meta = SliceReader().get_data(Found("the series", (image.stack,)))
    except FrameError as error:
        reject = error.reject
        raise DeployError(f"{reject.path.name} cannot be decoded ({reject.reason}): {reject.detail}") from error
    if model.takes_pictures and image.stack.channels == 1:
        array = _pictures(array, image)
    return array, meta


def _pictures(array: NDArray[np.float32], image: SourceImage) -> NDArray[np.float32]:
    pictures = np.empty_like(array)
    for index, window in enumerate(_windows(array, image)):
        pictures[:, :, index] = to_uint8(array[:, :, index], window)
    return pictures


def _windows(array: NDArray[np.float32], image: SourceImage) -> list[Window]:
    """Window of each slice."""
    unasked: dict[Path | None, list[int]] = defaultdict(list)
    for index, (file, asked) in enumerate(zip(image.files, image.ranges, strict=True)):
        if asked is None:
            unasked[None if image.placed else file].append(index)
    windows = {index: Window(*asked) for index, asked in enumerate(image.ranges) if asked is not None}
    for indices in unasked.values():
        values = array[:, :, indices].astype(image.stack.dtype)  # integers are counted exactly
        windows |= dict.fromkeys(indices, window_of_values(Histogram.of(values), image.stack.units))
    return [windows[index] for index in range(image.stack.n_slices)]


def _check_kind(image: SourceImage, model: DeployModel) -> None:
    """Values of CT and MR mean nothing to a bundle for the other; pictures may come under many modalities."""
    modality, units = image.stack.modality, image.stack.units
    if model.modality in MEASURED and modality != model.modality:
        raise DeployError(f"bundle {model.name} is for {model.modality}; the series is {modality}")
    if model.takes_pictures and modality in MEASURED:
        raise DeployError(f"bundle {model.name} is for pictures, not for {modality}; give a bundle for {modality}")
    if model.input_format == "hounsfield" and units != "HU":
        raise DeployError(f"bundle {model.name} takes CT in HU; the series is {modality} in {units} values")
    if not model.takes_pictures and image.stack.channels == 3:
        raise DeployError(
            f"bundle {model.name} takes measured values; the series is in colour, such as a screenshot or a map; give "
            "the series that it was made of"
        )
    if not model.takes_pictures and "no_spacing" in image.stack.flags:
        raise DeployError(
            f"bundle {model.name} works in mm; the series has no PixelSpacing; have the sender export it again, with it"
        )


def slices_of(image: SourceImage, model: DeployModel) -> list[tuple[NDArray[np.float32], Meta]]:
    """Each slice for itself, as a stack of one: (W, H, 1), or (W, H, 1, 3) for colour; raises as `volume_of`."""
    array, meta = volume_of(image, model)
    return [(array[:, :, i : i + 1], _meta_of_slice(meta, i)) for i in range(array.shape[2])]


def _meta_of_slice(meta: Meta, index: int) -> Meta:
    moved = np.eye(4)
    moved[2, 3] = index
    affine = np.asarray(meta["affine"]) @ moved
    shape = np.asarray([*meta["spatial_shape"][:2], 1])
    return meta | {"affine": affine, "original_affine": affine.copy(), "spatial_shape": shape}
