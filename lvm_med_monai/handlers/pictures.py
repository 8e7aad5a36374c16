"""Handler that draws masks over images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.metrics import compute_dice
from monai.transforms import Orientation, ResampleToMatch

from lvm_med_monai.handlers.case_pictures import CasePictures
from lvm_med_monai.handlers.drawing import as_picture, captioned, enlarge, overlay


class SegmentationPictures(CasePictures):
    """One PNG a case, ``case_0000.png``: the slice that shows most, with the truth and with the prediction over it.

    Expects items with ``image`` (C, W, H[, D]), ``pred`` and, if there is a truth, ``label``: one-hot masks (background
    first) or label maps on one grid. An image on another grid, such as one that was resampled for the network, is
    brought onto that of the prediction by their affines. Volumes with more than one slice are turned as a radiologist
    sees them (the patient's left on the right side); single pictures stay as stored. The slice is the one with most
    true pixels, without any the one with most predicted pixels, without any the middle one. Pixels are drawn square by
    their spacing. The title holds the mean Dice of the classes in the legend: those that the truth or the prediction of
    the whole case shows. Names of files and text hold no names of inputs.

    Args:
        output_dir: folder of the pictures.
        class_names: names of the classes without the background.
        axis: axis that is cut, after turning: 2 for axial, 1 for coronal, 0 for sagittal slices.
        side: pixels of a panel's longer side.
        limit: cases to draw; all if None.
    """

    def __init__(
        self,
        output_dir: str | Path,
        class_names: Sequence[str],
        axis: int = 2,
        side: int = 384,
        limit: int | None = None,
    ) -> None:
        super().__init__(output_dir, limit)
        self.class_names = list(class_names)
        self.axis = axis
        self.side = side

    def draw(self, index: int, item: Mapping[str, Any]) -> None:
        """Draw the chosen slice of one case.

        Raises:
            ValueError: prediction, truth and image lie on different grids without affines.
        """
        pred = _turned(_label_map(item["pred"]))
        label = _turned(_label_map(item["label"])) if item.get("label") is not None else None
        if label is not None and label.shape != pred.shape:
            raise ValueError(
                f"case {index}: truth {tuple(label.shape[1:])} and prediction {tuple(pred.shape[1:])} lie on different "
                "grids: bring the prediction back by Invertd before pictures are drawn"
            )
        image = _turned(_on_grid_of(_label_map(item["pred"]), item["image"], index))
        axis = self.axis if pred.shape[-1] > 1 else 2
        chosen = _fullest(label, pred, axis)
        plane = [_plane(volume, axis, chosen) for volume in (image, pred, pred if label is None else label)]
        pixel = _pixel(pred, axis)
        picture = enlarge(as_picture(plane[0]), pixel, self.side)
        masks = [enlarge(mask[0].astype(np.uint8), pixel, self.side) for mask in plane[1:]]
        panels = [("prediction", overlay(picture, masks[0]))]
        if label is not None:
            panels.insert(0, ("truth", overlay(picture, masks[1])))
        slices = pred.shape[axis + 1] if pred.ndim == 4 else 1
        title = f"case {index}" + (f", slice {chosen + 1} of {slices}" if slices > 1 else "")
        self.save(f"case_{index:04d}.png", captioned(panels, *self._words(title, pred, label)))

    def _words(self, title: str, pred: torch.Tensor, label: torch.Tensor | None) -> tuple[str, list[tuple[int, str]]]:
        """Title and legend, with the Dice of the whole case if there is a truth; absent classes are not listed."""
        count = len(self.class_names)
        masks = [
            torch.cat([volume == number for number in range(1, count + 1)])
            for volume in (pred, label)
            if volume is not None
        ]
        shown = [number for number in range(count) if any(mask[number].any() for mask in masks)]
        if label is None:
            return title, [(number, self.class_names[number]) for number in shown]
        dice = compute_dice(masks[0][None], masks[1][None], ignore_empty=False)[0]
        present = [float(dice[number]) for number in shown]
        mean = f", mean Dice {np.mean(present):.3f}" if present else ", nothing to find and nothing found"
        return title + mean, [(number, f"{self.class_names[number]} {dice[number]:.3f}") for number in shown]


def _turned(volume: torch.Tensor) -> torch.Tensor:
    """Volume in the orientation in which it is looked at; single pictures stay as they are."""
    if volume.ndim == 4 and volume.shape[-1] > 1 and isinstance(volume, MetaTensor):
        return Orientation(axcodes="LPS", labels=None)(volume)
    return volume


def _label_map(mask: Any) -> torch.Tensor:
    """One-hot masks (1 + C, ...) or a label map (1, ...) as a label map (1, ...)."""
    return mask.argmax(0, keepdim=True) if mask.shape[0] > 1 else mask


def _on_grid_of(target: torch.Tensor, image: Any, index: int) -> torch.Tensor:
    """Image on the grid of a mask of the same case."""
    if image.ndim == 4 and image.shape[-1] == 1 and target.ndim == 3:
        image = image[..., 0]
    same_shape = image.shape[1:] == target.shape[1:]
    if not isinstance(image, MetaTensor) or not isinstance(target, MetaTensor):
        if same_shape:
            return image
        raise ValueError(
            f"case {index}: image {tuple(image.shape[1:])} and prediction {tuple(target.shape[1:])} lie on different "
            "grids and have no affines: keep track_meta in EnsureTyped"
        )
    if same_shape and torch.allclose(image.affine, target.affine, atol=1e-3):
        return image
    return ResampleToMatch(mode="bilinear", padding_mode="border")(image.float(), img_dst=target)


def _fullest(label: torch.Tensor | None, pred: torch.Tensor, axis: int) -> int:
    """Slice with most truth, or most prediction, or the middle one."""
    if pred.ndim == 3:
        return 0
    for mask in (label, pred):
        if mask is not None and (mask > 0).any():
            others = [other for other in range(1, 4) if other != axis + 1]
            return int((mask > 0).sum(dim=[0, *others]).argmax())
    return pred.shape[axis + 1] // 2


def _plane(volume: torch.Tensor, axis: int, index: int) -> np.ndarray:
    """Slice (C, rows, columns) as it is looked at: MONAI's first axis goes to the right, its second down."""
    plane = volume.select(axis + 1, index) if volume.ndim == 4 else volume
    array = torch.as_tensor(plane).detach().cpu().numpy().swapaxes(1, 2)
    return array[:, ::-1] if volume.ndim == 4 and axis < 2 else array


def _pixel(volume: torch.Tensor, axis: int) -> tuple[float, float]:
    """Height and width of a drawn pixel."""
    if not isinstance(volume, MetaTensor) or volume.ndim < 4:
        return 1.0, 1.0
    sizes = [float(size) for other, size in enumerate(volume.pixdim[:3]) if other != axis]
    return sizes[1], sizes[0]
