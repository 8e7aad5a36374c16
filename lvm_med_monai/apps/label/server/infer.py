"""Models that clients are offered, one or two for each bundle."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Activationsd
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType
from monailabel.tasks.infer.bundle import BundleInferTask
from monailabel.transform.pre import LoadImageTensord

from lvm_med_monai.apps.label.markups import boxes_of, slicer_markups
from lvm_med_monai.apps.label.overlays import frames, outlines
from lvm_med_monai.apps.label.pictures import FORMATS, as_eight_bits
from lvm_med_monai.apps.label.staging import task_of
from lvm_med_monai.apps.label.stored_grid import onto_stored_grid, stored_affine
from lvm_med_monai.apps.label.studies import LOSSY
from lvm_med_monai.bundles.json_text import read_json
from lvm_med_monai.slices.stack import FrameError

OVERLAY = "_overlay"
"""End of the name of a second model that draws boxes or classes as a mask, for viewers that show masks alone."""
GRID = "stored_grid"
"""Key of shape and affine of the image as it was read; MONAI takes keys that start with image_ for metadata."""
UNREADABLE = (FrameError, ValueError, RuntimeError, OSError)
"""What reading and preparing an image raises if it cannot be answered for."""


class BundleTask(BundleInferTask):
    """A bundle as MONAI Label runs it, with weights that fit exactly.

    What clients are told of its dimension follows from what an answer covers. A bundle's network is 2D, and MONAI
    Label would say 2 for all; but clients take 2 to mean that an answer holds for the slice in view alone, and throw
    the other slices away. Every bundle answers for the whole image, slice by slice, so all are 3; but for prompts,
    which are set on one slice and answered there.

    Args:
        folder: the staged bundle.
        conf: the app's configuration.
        kind: MONAI Label's type, if another than the folder's name says.
    """

    def __init__(self, folder: Path, conf: Mapping[str, str], kind: str = "") -> None:
        restore = task_of(folder) in {"segmentation", "deepgrow"}
        super().__init__(str(folder), dict(conf), type=kind, add_post_restore=restore, load_strict=True)
        self.dimension = 2 if self.type == InferType.DEEPGROW else 3
        self.takes_pictures = takes_pictures(folder)
        self._sound: torch.nn.Module | None = None

    def pre_transforms(self, data: Any = None) -> Sequence[Callable[[Any], Any]]:
        """The bundle's own; where the image has just been read its grid is remembered and its values are fitted."""
        transforms = []
        for transform in super().pre_transforms(data):
            transforms.append(transform)
            if isinstance(transform, LoadImageTensord):
                transforms.append(_remember_grid)
                transforms.extend([_as_picture] if self.takes_pictures else [])
        return transforms

    def run_inferer(self, data: dict[str, Any], convert_to_batch: bool = True, device: str = "cuda") -> dict[str, Any]:
        """Run the network.

        Raises:
            ValueError: the image, or the answer, holds values that are not finite: a mask of them would be empty.
        """
        _check_finite(data[self.input_key], "the image, prepared for the network,")
        data = dict(super().run_inferer(data, convert_to_batch, device))
        _check_finite(data[self.output_label_key], f"the network's answer ({self.get_path()})")
        return data

    def _get_network(self, device: str, data: Any) -> torch.nn.Module:
        """The network with its weights.

        Raises:
            ValueError: weights are not finite: a detector that has such finds nothing, without a word.
        """
        network: torch.nn.Module = super()._get_network(device, data)
        if network is not self._sound:
            for name, weight in network.named_parameters():
                _check_finite(weight, f"the weight {name} of {self.get_path()}")
            self._sound = network
        return network

    def probabilities(self, request: dict[str, Any]) -> torch.Tensor:
        """What the network says of an image before it becomes labels.

        Args:
            request: ``image``, a path, and ``device``.

        Returns:
            (C, ...) in [0, 1], after the bundle's own activation.
        """
        data = {**self._config, **request, "image_path": request["image"]}
        data = self.run_pre_transforms(data, self.pre_transforms(data))
        data = self.run_inferer(data, device=request["device"])
        active = [item for item in self.post_transforms(data) if isinstance(item, Activationsd)]
        return active[0](data)[self.output_label_key] if active else torch.softmax(data[self.output_label_key], dim=0)

    def writer(self, data: dict[str, Any], extension: str | None = None, dtype: Any = None) -> tuple[Any, Any]:
        """Write the mask on the voxels of the image's file, and never in a format that would change it."""
        if self.type in {InferType.SEGMENTATION, InferType.DEEPGROW}:
            _place(data, self.output_label_key)
        return super().writer(data, extension, dtype)


class DetectionTask(BundleTask):
    """Boxes: JSON in pixels, and a file of markups in mm for 3D Slicer."""

    def run_detector(self, data: dict[str, Any], convert_to_batch: bool = True, device: str = "cuda") -> dict[str, Any]:
        """Run the network as any other: it answers with boxes itself."""
        return self.run_inferer(data, convert_to_batch, device)

    def writer(self, data: dict[str, Any], extension: str | None = None, dtype: Any = None) -> tuple[Any, Any]:
        """Write markups; MONAI Label sends them, or the JSON, as the client asks."""
        boxes = boxes_of(np.asarray(data[self.output_label_key]))
        names = {value: name for name, value in self.labels.items()}
        found = [
            {"label": names.get(int(label), str(int(label))), "score": score, "box": [x1, y1, x2, y2]}
            for x1, y1, x2, y2, label, score in boxes.tolist()
        ]
        answer = {"boxes": found}
        if not data.get("result_write_to_file", True):
            return None, answer
        _, affine = data[GRID]
        return str(slicer_markups(found, affine)), answer


class OverlayTask(BundleTask):
    """A bundle that classifies or detects, as a model that segments: frames or outlines in the classes' colours.

    Args:
        folder: the staged bundle.
        conf: the app's configuration.
    """

    def __init__(self, folder: Path, conf: Mapping[str, str]) -> None:
        super().__init__(folder, conf, kind=InferType.SEGMENTATION)
        self.detects = task_of(folder) == "detection"
        self.labels: dict[str, int] = {name: value + 1 for name, value in self.labels.items()}
        what = "boxes as outlines" if self.detects else "the class as a frame around the image"
        self.description: str = f"{self.description} This model draws {what}, for viewers that show masks alone."

    def run_post_transforms(self, data: dict[str, Any], transforms: Any) -> dict[str, Any]:
        """Draw the answer on the image's grid."""
        data = super().run_post_transforms(data, transforms)
        shape, affine = data[GRID]
        answer = np.asarray(data[self.output_label_key], dtype=np.float64)
        if self.detects:
            mask = outlines(shape, boxes_of(answer))
        else:
            mask = frames(shape, [index + 1 for index in self._named(answer)])
            data["result"] = {"prediction": self._scores(answer)}
        data[self.output_label_key] = MetaTensor(torch.from_numpy(mask), affine=torch.as_tensor(affine))
        return data

    def _named(self, scores: np.ndarray) -> list[int]:
        """The class with the highest score; of findings that do not exclude one another, all above one half."""
        if self.bundle_config.get("multi_label", False):
            return [int(index) for index in np.flatnonzero(scores > 0.5)]
        return [int(scores.argmax())]

    def _scores(self, scores: np.ndarray) -> list[dict[str, Any]]:
        names = {value - 1: name for name, value in self.labels.items()}
        return [{"idx": i, "label": names.get(i, str(i)), "score": float(score)} for i, score in enumerate(scores)]


def infer_tasks(folder: Path, conf: Mapping[str, str]) -> dict[str, InferTask]:
    """The models of one bundle, by the names that clients see."""
    task = task_of(folder)
    if task == "detection":
        return {folder.name: DetectionTask(folder, conf), folder.name + OVERLAY: OverlayTask(folder, conf)}
    if task == "classification":
        return {folder.name: BundleTask(folder, conf), folder.name + OVERLAY: OverlayTask(folder, conf)}
    return {folder.name: BundleTask(folder, conf)}


def takes_pictures(folder: Path) -> bool:
    """Whether a bundle's input is a picture of 0 to 255."""
    metadata = read_json(folder / "configs" / "metadata.json")
    return str(metadata["network_data_format"]["inputs"]["image"].get("format", "")).lower() in FORMATS


def root_of(error: BaseException) -> str:
    """What the first cause says that speaks of images: MONAI wraps what a transform says into its own words."""
    while error.__cause__ is not None and not isinstance(error, FrameError):
        error = error.__cause__
    return str(error) or type(error).__name__


def _check_finite(values: Any, what: str) -> None:
    if not torch.isfinite(torch.as_tensor(values)).all():
        raise ValueError(f"{what} holds values that are not finite: nothing can be told from them")


def _as_picture(data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
    image = data["image"]
    values = np.asarray(image)
    fitted = as_eight_bits(values, str(_meta(data).get("units", "raw")))
    return dict(data) if fitted is values else {**data, "image": _like(image, fitted)}


def _place(data: dict[str, Any], key: str) -> None:
    """Bring a mask from the axes on which the image was read onto those of its file."""
    shape, affine = data[GRID]
    path = str(data.get("image_path", ""))
    mask = np.asarray(data[key])
    mask = mask[0] if mask.ndim == len(shape) + 1 and len(mask) == 1 else mask
    mask, affine = onto_stored_grid(mask, affine, stored_affine(Path(path)) if path else None)
    data[key] = MetaTensor(torch.from_numpy(np.ascontiguousarray(mask)), affine=torch.as_tensor(affine))
    data.pop(f"{key}_meta_dict", None)
    if path.lower().endswith(LOSSY) and not data.get("result_extension"):
        data["result_extension"] = ".png"


def _meta(data: Mapping[Hashable, Any]) -> Mapping[str, Any]:
    image = data["image"]
    return image.meta if isinstance(image, MetaTensor) else data["image_meta_dict"]


def _like(image: Any, values: np.ndarray) -> Any:
    return MetaTensor(torch.from_numpy(values), meta=image.meta) if isinstance(image, MetaTensor) else values


def _remember_grid(data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
    image, meta = data["image"], _meta(data)
    shape = tuple(int(size) for size in meta["spatial_shape"])
    affine = np.asarray(image.affine if isinstance(image, MetaTensor) else meta["original_affine"], dtype=np.float64)
    return {**data, GRID: (shape, affine)}
