"""Pictures to be classified: checked by their headers, listed from folders."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from lvm_med_monai.data.samples import stacks_at
from lvm_med_monai.slices import Reject, Stack, iter_stacks

_FOUR_CHANNELS = ("RGBA", "RGBa", "CMYK", "LA", "La", "PA")
"""Pillow's modes with a channel more than grey or colour."""
_PILLOW_FORMATS = ("png", "jpeg", "tiff", "bmp")


def check_picture(path: str | Path) -> None:
    """Make sure, by its header, that a file or folder holds one grey or colour picture.

    Raises:
        FileNotFoundError: nothing lies there.
        ValueError: it holds no picture, several, or one with transparency or four inks.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"the image {path} does not exist: correct the datalist, or copy the file there")
    found = list(iter_stacks(path))
    stacks = [item for item in found if isinstance(item, Stack)]
    pictures = sum(stack.n_slices for stack in stacks)
    if pictures != 1:
        reasons = sorted({item.detail for item in found if isinstance(item, Reject)})
        refused = f" ({reasons[0]})" if reasons else ""
        raise ValueError(
            f"{path.name} holds {pictures} pictures, expected one{refused}: extract slices of volumes first "
            "(python -m lvm_med_monai.slices extract)"
        )
    _refuse_fourth_channel(stacks[0])


def check_channels(path: str | Path) -> None:
    """Refuse a picture of four channels, whose fourth would be lost without a word; anything else passes.

    Raises:
        ValueError: it has transparency, or four inks.
    """
    for stack in stacks_at(path):
        if isinstance(stack, Stack):
            _refuse_fourth_channel(stack)


def _refuse_fourth_channel(stack: Stack) -> None:
    """Look at the file; an extracted slice is none, and its channels are known."""
    path = stack.sources[0]
    if stack.source_format not in _PILLOW_FORMATS or not path.is_file():
        return
    with Image.open(path) as image:
        if image.mode in _FOUR_CHANNELS:
            raise ValueError(
                f"{path.name} has {len(image.getbands())} channels ({image.mode}), expected grey or RGB: "
                "save it without transparency, as RGB"
            )


def list_inputs(folder: str | Path) -> list[dict[str, str]]:
    """Everything inside a folder as inputs of a network: each file, and each folder of DICOM files.

    Hidden entries and datalists (``.json``) are left out.

    Args:
        folder: whose entries are listed, sorted by name.

    Returns:
        Items with ``image``, a path, and ``name``, the entry's own name.

    Raises:
        FileNotFoundError: there is no such folder, or nothing in it.
    """
    root = Path(folder)
    if not root.is_dir():
        raise FileNotFoundError(f"no folder {root}: give the folder of the images")
    found = sorted(path for path in root.iterdir() if not path.name.startswith(".") and path.suffix != ".json")
    if not found:
        raise FileNotFoundError(f"the folder {root} is empty: put the images into it")
    return [{"image": str(path), "name": path.name} for path in found]
