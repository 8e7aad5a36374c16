"""Batches of crops for a trainer: views of several sizes instead of labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from monai.engines import PrepareBatch

from lvm_med_monai.transforms import BlockMasks, CropGeometry, MultiCrop


@dataclass(frozen=True)
class CropTargets:
    """What a loss may want to know of a batch besides the network's output.

    Attributes:
        crops: geometry of the views of each size, global first.
        names: name of each image, or none.
        masks: hidden patches of the global views, shape (V * B, rows, columns), or none.
    """

    crops: list[CropGeometry]
    names: list[str]
    masks: torch.Tensor | None = None


class PrepareCrops(PrepareBatch):
    """Turn a batch of images into views on the training device, and their geometry.

    Given to ``SupervisedTrainer(prepare_batch=...)``, the network receives the stacks of views and the number of views
    in each, and the loss function a ``CropTargets``.

    Args:
        views: draws the views.
        key: entry of a batch that holds the images, values in [0, 1].
        name_key: entry that names the images, for methods that remember them; absent entries give no names.
        channels_last: lay the views out with channels innermost, which convolutions prefer.
    """

    def __init__(
        self, views: MultiCrop, key: str = "image", name_key: str = "slice_id", channels_last: bool = True
    ) -> None:
        self.views = views
        self.key, self.name_key = key, name_key
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format

    def __call__(
        self,
        batchdata: Mapping[str, Any],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[list[torch.Tensor], CropTargets, tuple[Any, ...], dict[str, Any]]:
        """Views, targets, and the further arguments of the network."""
        images = batchdata[self.key].to(device=device, non_blocking=non_blocking, **kwargs)
        parts = self.views(images)
        crops = [part.images.contiguous(memory_format=self.memory_format) for part in parts]
        targets = CropTargets([part.crops for part in parts], list(batchdata.get(self.name_key, [])))
        return crops, targets, (self.views.numbers,), {}


class PrepareMaskedCrops(PrepareCrops):
    """Crops as ``PrepareCrops`` gives them, and masks of patches for the global ones.

    Args:
        views: draws the views.
        masks: draws the masks.
        patch_size: side of a patch in pixels.

    Raises:
        ValueError: the patches do not tile the views.
    """

    def __init__(self, views: MultiCrop, masks: BlockMasks, patch_size: int) -> None:
        super().__init__(views, channels_last=False)
        for size in (part.policy.size for part in views.parts):
            if size % patch_size:
                raise ValueError(
                    f"views of {size} pixels do not divide into patches of {patch_size}: choose a multiple"
                )
        self.masks, self.patch_size = masks, patch_size

    def __call__(
        self,
        batchdata: Mapping[str, Any],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[list[torch.Tensor], CropTargets, tuple[Any, ...], dict[str, Any]]:
        """Views, targets with masks, and the masks as an argument of the network."""
        crops, targets, numbers, _ = super().__call__(batchdata, device, non_blocking, **kwargs)
        rows, columns = (side // self.patch_size for side in crops[0].shape[-2:])
        masks = self.masks(len(crops[0]), rows, columns).to(crops[0].device)
        return crops, CropTargets(targets.crops, targets.names, masks), (*numbers, masks), {}
