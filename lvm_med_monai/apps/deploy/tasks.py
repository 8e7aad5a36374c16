"""What the applications do between reading and writing: a bundle applied to every stack of a series."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import highdicom
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from lvm_med_monai.apps.deploy.equipment import Equipment
from lvm_med_monai.apps.deploy.model import DeployModel
from lvm_med_monai.apps.deploy.problems import DeployError
from lvm_med_monai.apps.deploy.reports import Boxes, Scores, classification_report, detection_report
from lvm_med_monai.apps.deploy.segmentation_object import check_labels, segment_names, write_segmentation
from lvm_med_monai.apps.deploy.series import SourceImage
from lvm_med_monai.apps.deploy.values import slices_of, volume_of

Task = Callable[[Sequence[SourceImage], DeployModel], list[Dataset]]
BOX_NUMBERS = 6
"""x1, y1, x2, y2, class, score."""


def segment(images: Sequence[SourceImage], model: DeployModel) -> list[Dataset]:
    """One SEG for each stack, all in one new series."""
    names = model.class_names
    segment_names(names)
    series_uid, equipment = highdicom.UID(), equipment_of(model)
    results: list[Dataset] = []
    for number, image in enumerate(images, 1):
        labels = check_labels(model.predict(*volume_of(image, model)), image, len(names))
        results.append(write_segmentation(image, labels, names, equipment, series_uid, number))
    return results


def classify(images: Sequence[SourceImage], model: DeployModel) -> list[Dataset]:
    """One SR for the series, with the classes of every slice."""
    names = model.class_names
    slices = []
    for image in images:
        for index, (array, meta) in enumerate(slices_of(image, model)):
            values = np.asarray(model.predict(array, meta), dtype=np.float64).reshape(-1)
            slices.append(Scores(image, index, _checked_scores(values, names)))
    return [classification_report(slices, names, model.multi_label, equipment_of(model))]


def detect(images: Sequence[SourceImage], model: DeployModel) -> list[Dataset]:
    """One SR for the series, with the boxes of every slice."""
    names = model.class_names
    slices = []
    for image in images:
        for index, (array, meta) in enumerate(slices_of(image, model)):
            values = np.asarray(model.predict(array, meta), dtype=np.float64)
            slices.append(Boxes(image, index, checked_boxes(values, names, image)))
    return [detection_report(slices, names, equipment_of(model))]


TASKS: dict[str, Task] = {"segmentation": segment, "classification": classify, "detection": detect}


def equipment_of(model: DeployModel) -> Equipment:
    """The bundle by the name of its metadata; the name of its folder is the user's and stays here."""
    return Equipment(str(model.metadata.get("name") or "unnamed bundle"), model.version)


def _checked_scores(values: NDArray[np.float64], names: Sequence[str]) -> NDArray[np.float64]:
    if len(values) != len(names):
        raise DeployError(f"the bundle returned {len(values)} scores for its {len(names)} classes {list(names)}")
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
        raise DeployError("the bundle returned scores outside of 0 to 1: its postprocessing must end in probabilities")
    return values


def checked_boxes(values: NDArray[np.float64], names: Sequence[str], image: SourceImage) -> NDArray[np.float64]:
    """Boxes without padding, cut to the image.

    Args:
        values: (n, 6): x1, y1, x2, y2, class, score; rows with a negative score are padding.
        names: classes.
        image: the stack.

    Raises:
        DeployError: another shape, or a class that has no name.
    """
    if values.ndim != 2 or values.shape[1] != BOX_NUMBERS:
        raise DeployError(f"the bundle returned boxes of shape {values.shape}; (n, {BOX_NUMBERS}) was expected")
    boxes = values[values[:, 5] >= 0]
    known = np.isfinite(boxes).all(axis=1) & (boxes[:, 4] >= 0) & (boxes[:, 4] < len(names))
    if not known.all():
        raise DeployError(f"the bundle returned a box of a class outside of its {len(names)} classes {list(names)}")
    boxes[:, 0:4:2] = np.clip(boxes[:, 0:4:2], 0, image.stack.width)
    boxes[:, 1:4:2] = np.clip(boxes[:, 1:4:2], 0, image.stack.height)
    return boxes
