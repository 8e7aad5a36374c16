"""Slices of whatever a folder holds: extracted slices, or files to be read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from monai.data import Dataset

from lvm_med_monai.data.named_labels import NumberedSlices
from lvm_med_monai.data.pictures import list_inputs
from lvm_med_monai.slices.store.manifest import MANIFEST


class SliceInputs(Dataset):
    """Inputs of a network that takes slices one by one.

    A folder that ``python -m lvm_med_monai.slices extract`` wrote gives its slices, which are windowed and single
    already. Of any other folder every entry is an input, see `list_inputs`.

    Args:
        folder: folder of the inputs.
        read: transform of items with ``image``, a path, and ``name``.
        prepare: transform of items with ``image`` (C, H, W) in [0, 1] and ``slice_id``: the part of ``read`` that comes
            after reading, windowing and slicing.

    Raises:
        FileNotFoundError: there is no such folder, or nothing in it.
    """

    def __init__(self, folder: str | Path, read: Callable[..., Any], prepare: Callable[..., Any]) -> None:
        extracted = (Path(folder) / MANIFEST).is_file()
        data: Any = NumberedSlices(folder) if extracted else list_inputs(folder)
        super().__init__(data, prepare if extracted else read)
