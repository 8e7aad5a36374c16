"""PNG, JPEG, TIFF and BMP through Pillow: one picture is a stack of one slice without geometry."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from lvm_med_monai.slices.geometry import SliceGeometry
from lvm_med_monai.slices.limits import size_fault
from lvm_med_monai.slices.stack import FrameError, Reject, Stack, exact_dtype

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
FORMATS = {"PNG": "png", "JPEG": "jpeg", "TIFF": "tiff", "BMP": "bmp"}
GREY_MODES = {"1": "u1", "L": "u1", "I;16": "u2", "I;16B": "u2", "I;16L": "u2", "I": "i4", "F": "f4"}
"""Pillow modes that stay one channel, and the type of their values; every other mode becomes RGB."""


def read_plain(path: Path) -> Iterator[Stack | Reject]:
    """Stacks of one picture file, without decoding it.

    Transparency is dropped, palettes become RGB, grey with alpha becomes grey, bilevel becomes 0 and 255. Pages of a
    TIFF that agree in size and mode are one stack; each change begins another.

    Args:
        path: the file.

    Yields:
        Stacks of one slice (of several for a multi-page TIFF), or one reject.
    """
    try:
        with Image.open(path, formats=tuple(FORMATS)) as image:
            kind = FORMATS[image.format or ""]
            pages = _pages(image)
    except (UnidentifiedImageError, KeyError):
        yield Reject(path, "unrecognised", "not a PNG, JPEG, TIFF or BMP picture")
        return
    except Image.DecompressionBombError:
        yield Reject(path, "too_large", "declares more pixels than Pillow's limit, PIL.Image.MAX_IMAGE_PIXELS")
        return
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        yield Reject(path, "corrupt", f"the header cannot be read ({type(error).__name__})")
        return
    start = 0
    for stop in range(1, len(pages) + 1):
        if stop == len(pages) or pages[stop] != pages[start]:
            yield _stack(path, kind, range(start, stop), *pages[start])
            start = stop


def _pages(image: Image.Image) -> list[tuple[str, int, int]]:
    """(mode, height, width) of every page."""
    pages = []
    for page in range(getattr(image, "n_frames", 1)):
        image.seek(page)
        pages.append((image.mode, image.height, image.width))
    return pages


def _stack(path: Path, kind: str, pages: range, mode: str, height: int, width: int) -> Stack | Reject:
    if reason := size_fault(height, width, len(pages), 4):
        return Reject(path, "too_large", reason)
    stored: np.dtype[Any] = np.dtype(GREY_MODES["L"] if mode == "LA" else GREY_MODES.get(mode, "u1"))
    channels = 1 if mode in GREY_MODES or mode == "LA" else 3
    dtype: np.dtype[Any] = np.dtype(np.float32)
    if channels == 3:
        dtype = np.dtype(np.uint8)
    elif stored.kind in "iu":
        info = np.iinfo(stored)
        dtype = np.dtype(exact_dtype(info.min, info.max, integral=True))

    def read_frame(i: int) -> NDArray[Any]:
        return _decode(path, pages[i], mode, channels).astype(dtype, copy=False)

    origins = np.zeros((len(pages), 3))
    origins[:, 2] = np.arange(len(pages))
    return Stack(
        read_frame=read_frame,
        geometry=SliceGeometry(origins, np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), (1.0, 1.0)),
        height=height,
        width=width,
        channels=channels,
        dtype=dtype,
        modality="unknown",
        units="display",
        source_format=kind,
        sources=(path,),
        frame_sources=(0,) * len(pages),
        flags=frozenset({"no_geometry", "no_spacing"} | ({"lossy"} if kind == "jpeg" else set())),
        display_range=(0.0, 255.0) if stored == np.dtype("u1") else None,
    )


def _decode(path: Path, page: int, mode: str, channels: int) -> NDArray[Any]:
    """(H, W), or (H, W, 3) uint8."""
    try:
        with Image.open(path, formats=tuple(FORMATS)) as image:
            image.seek(page)
            if channels == 3:
                # Through RGBA, so that a palette with a transparent entry keeps the colour of that entry.
                opaque = image.convert("RGBA") if mode == "P" else image
                return np.asarray(opaque.convert("RGB"))
            return np.asarray(image.convert("L") if mode in ("1", "LA") else image)
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        detail = f"the picture cannot be decoded ({type(error).__name__}); copy the file again"
        raise FrameError(Reject(path, "corrupt", detail)) from error
