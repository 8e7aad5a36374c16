"""Images and masks checked before the first training step, all of them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.distributed
from monai.data import MetaTensor
from tqdm import tqdm

from lvm_med_monai.data.datalist import paths_in
from lvm_med_monai.data.pictures import check_channels
from lvm_med_monai.data.sample_reader import MaskReader

_logger = logging.getLogger(__name__)


class LabelMap(Protocol):
    """What maps stored values to classes, such as `transforms.MapLabelsd` of the key ``label``."""

    @property
    def classes(self) -> set[int]:
        """Classes that it can give."""

    def __call__(self, data: Mapping[Any, Any]) -> dict[Any, Any]:
        """The item with mapped labels."""


def check_samples(
    entries: Sequence[Mapping[str, Any]],
    label_map: LabelMap,
    class_names: Sequence[str],
    out_channels: int,
    enabled: bool = True,
    progress: bool = True,
) -> Counter[int]:
    """Make sure that every image and mask can be trained on; read the masks whole, of images the headers.

    Only the first process of a distributed training looks.

    Args:
        entries: of a datalist, with ``image`` and ``label``.
        label_map: stored values to classes.
        class_names: of all classes, background first.
        out_channels: of the network.
        enabled: False to trust the data, such as in later runs.
        progress: whether to show a bar.

    Returns:
        How many entries hold each class; nothing if not enabled, and in all processes but the first.

    Raises:
        ValueError: classes, rules and network do not fit each other, an entry has no mask, an image has four channels,
            a mask holds a value without a class, or no mask holds any foreground.
        FrameError: a mask cannot be decoded.
    """
    _check_classes(label_map, class_names, out_channels)
    held: Counter[int] = Counter()
    if not enabled or (torch.distributed.is_initialized() and torch.distributed.get_rank() > 0):
        return held
    for entry in tqdm(entries, desc="checking images and masks", unit="", disable=not progress):
        if not paths_in(entry, "label"):
            raise ValueError(f"{Path(str(entry.get('image'))).name} has no mask: add a label, or leave the entry out")
        for path in paths_in(entry, "image"):
            check_channels(path)
        held.update(mapped_mask(entry["label"], label_map).unique().int().tolist())
    if set(held) <= {0}:
        raise ValueError(
            f"none of {len(entries)} masks holds any of {', '.join(class_names[1:])}: their values do not mean what "
            "label_map::rules says"
        )
    for value in range(1, len(class_names)):
        if not held[value]:
            _logger.warning("no mask holds class %d, %s", value, class_names[value])
    return held


def _check_classes(label_map: LabelMap, class_names: Sequence[str], out_channels: int) -> None:
    if out_channels != len(class_names):
        raise ValueError(
            f"the network gives {out_channels} classes, but class_names has {len(class_names)}: background and the "
            "others, one name for each channel"
        )
    if max(label_map.classes) >= len(class_names):
        raise ValueError(
            f"label_map gives class {max(label_map.classes)}, but class_names has {len(class_names)} names, of classes "
            f"0 to {len(class_names) - 1}: change label_map::rules or class_names"
        )


def mapped_mask(label: str | Sequence[str], label_map: Callable[[Mapping[Any, Any]], dict[Any, Any]]) -> torch.Tensor:
    """Classes (1, W, H, D) of a mask, or of the several masks of an image, on the grid that it is stored on."""
    reader = MaskReader()
    array, meta = reader.get_data(reader.read(label))
    stored = torch.from_numpy(array)
    stored = stored[None] if stored.ndim == 3 else stored.movedim(-1, 0)
    mapped = label_map({"label": MetaTensor(stored, meta={"filename_or_obj": meta["filename_or_obj"]})})
    return mapped["label"].as_tensor()
