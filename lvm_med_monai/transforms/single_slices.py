"""Items of one picture out of pictures, files of one slice, and volumes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform

from lvm_med_monai.transforms.file_names import name_of


def _told(item: Mapping[Hashable, Any], image: Any) -> str:
    """How a message names an item: by its file, or its name in the datalist."""
    return name_of(image, str(item.get("name", "an image")))


def _plain(image: Any) -> torch.Tensor:
    """The values alone: a picture without its place in the patient."""
    return image.as_tensor() if isinstance(image, MetaTensor) else torch.as_tensor(image)


class AsPictured(MapTransform):
    """The picture in an image of one slice, rows first: (C, W, H) or (C, W, H, 1) becomes (C, H, W).

    A picture file, a NIfTI or DICOM file of one slice and what MONAI Deploy hands over become the same. MONAI's readers
    give columns first; published weights, and `SliceShardDataset`, have rows first. Metadata are left behind, since a
    picture that is classified has no way back to its grid.

    Args:
        keys: of the images.

    Raises:
        ValueError: the image has several slices, or is no image.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Apply to each key."""
        item = dict(data)
        for key in self.key_iterator(item):
            image = item[key]
            if image.ndim == 4 and image.shape[-1] != 1:
                raise ValueError(
                    f"{_told(item, image)} holds {image.shape[-1]} slices, but pictures are looked at one by one: "
                    "extract its slices first (python -m lvm_med_monai.slices extract)"
                )
            if image.ndim not in (3, 4):
                raise ValueError(f"{_told(item, image)} has shape {tuple(image.shape)}: expected channels, a picture")
            item[key] = _plain(image[..., 0] if image.ndim == 4 else image).transpose(1, 2)
        return item


class EachSliced(Transform):
    """All slices of an image as items of their own, named after it, rows first as `AsPictured` has them.

    An image of one slice stays one item; a volume (C, W, H, D) becomes a list of D, which MONAI's ``DataLoader`` makes
    one batch. An item gets ``slice_id``: its ``name``, and for a slice of a volume its number in brackets.

    Args:
        key: of the image.
        every: take each ``every``-th slice, beginning with the first.

    Raises:
        ValueError: ``every`` is below 1, or the image has another number of axes.

    Example:
        >>> [item["slice_id"] for item in EachSliced()({"image": torch.zeros(1, 8, 8, 3), "name": "ct.nii.gz"})]
        ['ct.nii.gz[0]', 'ct.nii.gz[1]', 'ct.nii.gz[2]']
    """

    def __init__(self, key: str = "image", every: int = 1) -> None:
        if every < 1:
            raise ValueError(f"every is a number of slices of at least 1, got {every}")
        self.key = key
        self.every = every

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any] | list[dict[Hashable, Any]]:
        """The item of a picture, or those of a volume."""
        image = data[self.key]
        if image.ndim not in (3, 4):
            raise ValueError(f"{_told(data, image)} has shape {tuple(image.shape)}: expected channels and 2 or 3 axes")
        name = data.get("slice_id") or data.get("name") or name_of(image, "image")
        values = _plain(image).transpose(1, 2)
        if values.ndim == 3 or values.shape[-1] == 1:
            return {**data, self.key: values if values.ndim == 3 else values[..., 0], "slice_id": name}
        return [
            {**data, self.key: values[..., index], "slice_id": f"{name}[{index}]"}
            for index in range(0, values.shape[-1], self.every)
        ]
