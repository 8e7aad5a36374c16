"""How a message names the image that it is about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monai.data import MetaTensor
from monai.utils import ImageMetaKey


def name_of(image: Any, otherwise: str = "an image") -> str:
    """Name of the file that an image was read from, without its folders; ``otherwise`` if it is not known."""
    file = image.meta.get(ImageMetaKey.FILENAME_OR_OBJ, "") if isinstance(image, MetaTensor) else ""
    return Path(str(file)).name or otherwise
