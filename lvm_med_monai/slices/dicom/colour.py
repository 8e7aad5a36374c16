"""Colour frames as 8-bit RGB (PS3.3 C.7.6.3.1.2, C.7.9)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lvm_med_monai.slices.dicom import tags
from lvm_med_monai.slices.dicom.attributes import Attributes
from lvm_med_monai.slices.dicom.image import Image


def rgb(stored: NDArray[Any], image: Image, tables: Attributes | None) -> NDArray[np.uint8]:
    """RGB of a decoded frame.

    Args:
        stored: (H, W, 3) RGB, converted from YBR already, or (H, W) palette indices.
        image: the file.
        tables: the palette's tables, where there is one.

    Returns:
        (H, W, 3); of wider samples the highest 8 bits.

    Raises:
        ValueError: the palette is missing or damaged.
    """
    bits = image.bits
    if tables is not None:
        from pydicom.pixels.processing import apply_color_lut

        dataset = _palette(tables)
        stored = apply_color_lut(stored, dataset)
        plain = "RedPaletteColorLookupTableData" in dataset
        if plain and not image.little_endian and stored.dtype.itemsize == 2:
            stored = stored.byteswap()  # pydicom reads plain tables in the machine's byte order
        bits = 8 * stored.dtype.itemsize
    if stored.shape != (image.rows, image.columns, 3):
        raise ValueError("a colour frame without three samples a pixel")
    return (stored >> (bits - 8)).astype(np.uint8) if bits > 8 else stored.astype(np.uint8)


def _palette(tables: Attributes) -> Any:
    """The tables as a pydicom Dataset."""
    from pydicom.datadict import dictionary_VR
    from pydicom.dataset import Dataset

    dataset = Dataset()
    dataset.set_original_encoding(False, tables.little_endian)
    for tag in tags.PALETTE:
        if tag in tables:
            vr = dictionary_VR(tag)
            dataset.add_new(tag, "US" if vr == "US or SS" else vr, tables.value(tag))
    return dataset
