"""Pixels of a source image as a bundle takes them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lvm_med_monai.apps.deploy.model import DeployModel
from lvm_med_monai.apps.deploy.problems import DeployError
from lvm_med_monai.apps.deploy.series import SourceImage
from lvm_med_monai.slices.reader import Found, SliceReader
from lvm_med_monai.slices.stack import FrameError
from lvm_med_monai.slices.windows import default_window, to_uint8

Meta = dict[str, Any]
MEASURED = frozenset(["CT", "MR", "NM", "PT"])
"""Modalities whose values are measured: a bundle for one cannot serve another, and one for pictures can serve none."""


def volume_of(image: SourceImage, model: DeployModel) -> tuple[NDArray[np.float32], Meta]:
    """All slices of a stack.

    Each slice is rescaled by its own slope and intercept, in float32. For a bundle that takes pictures, grey values are
    mapped to 0..255 by the window that the file asks to be shown with (percentiles where it asks for none).

    Returns:
        Array (W, H, D), or (W, H, D, 3) for colour, and MONAI's metadata with the affine to RAS mm.

    Raises:
        DeployError: pixels cannot be decoded, the bundle is for another kind of series, or a CT lacks HU.
    """
    _check_kind(image, model)
    try:
        array, meta = SliceReader().get_data(Found("the series", (image.stack,)))
    except FrameError as error:
        reject = error.reject
        raise DeployError(f"{reject.path.name} cannot be decoded ({reject.reason}): {reject.detail}") from error
    if model.takes_pictures and image.stack.channels == 1:
        array = to_uint8(array, default_window(image.stack)).astype(np.float32)
    return array, meta


def _check_kind(image: SourceImage, model: DeployModel) -> None:
    """Values of CT and MR mean nothing to a bundle for the other; pictures may come under many modalities."""
    modality, units = image.stack.modality, image.stack.units
    if model.modality in MEASURED and modality != model.modality:
        raise DeployError(f"bundle {model.name} is for {model.modality}; the series is {modality}")
    if model.takes_pictures and modality in MEASURED:
        raise DeployError(f"bundle {model.name} is for pictures, not for {modality}; give a bundle for {modality}")
    if model.input_format == "hounsfield" and units != "HU":
        raise DeployError(f"bundle {model.name} takes CT in HU; the series is {modality} in {units} values")


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
