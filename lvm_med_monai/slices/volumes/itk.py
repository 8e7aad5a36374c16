"""MetaImage (.mha, .mhd) and NRRD (.nrrd, .nhdr), through ITK, which is imported when the first such file is met."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lvm_med_monai.slices.geometry import SliceGeometry, itk_affine
from lvm_med_monai.slices.limits import MAX_DEFLATE_RATIO, size_fault
from lvm_med_monai.slices.stack import Reject, Stack, exact_dtype
from lvm_med_monai.slices.volumes.cutting import acquisition_axis, is_usable, reorder, slicing, voxel_sizes
from lvm_med_monai.slices.volumes.lazy import LazyVolume

SUFFIXES = (".mha", ".mhd", ".nrrd", ".nhdr")
COMPONENTS = {
    "unsigned char": "u1",
    "char": "i1",
    "signed char": "i1",
    "unsigned short": "u2",
    "short": "i2",
    "unsigned int": "u4",
    "int": "i4",
    "float": "f4",
    "double": "f8",
}
"""ITK's component types that become slices. "long" is missing: its width depends on the platform."""
MAX_DIRECTION = 1e6
"""Parts of a direction are at most 1; with huge ones ITK never ends."""
PIXELS = {"u1": "UC", "i1": "SS", "u2": "US", "i2": "SS", "u4": "D", "i4": "D", "f4": "F", "f8": "D"}
"""Pixel types of ITK's Python packages that hold each without loss."""


def read_itk(path: Path, companions: tuple[Path, ...] = ()) -> Iterator[Stack | Reject]:
    """Stack of one file, without reading its pixels.

    Slices are cut and turned as by `nifti.read_nifti`. A 2D image is a stack of one slice flagged ``no_geometry``.

    Args:
        path: header, or header and pixels in one file.
        companions: detached pixel files; become sources too.

    Yields:
        One stack or one reject.
    """
    itk = _itk()
    try:
        io = itk.ImageIOFactory.CreateImageIO(str(path), itk.CommonEnums.IOFileMode_ReadMode)
        if io is None:
            yield Reject(path, "corrupt", "no MetaImage or NRRD header")
            return
        io.SetFileName(str(path))
        io.ReadImageInformation()
    except RuntimeError:
        yield Reject(path, "corrupt", "the header cannot be read")
        return
    dims = int(io.GetNumberOfDimensions())
    if dims < 2:
        yield Reject(path, "unsupported", f"the header declares {dims} dimensions; slices need at least two")
        return
    size = tuple(int(io.GetDimensions(i)) for i in range(dims)) + (1,) * max(0, 3 - dims)
    stored = COMPONENTS.get(io.GetComponentTypeAsString(io.GetComponentType()).replace("_", " "))
    channels = int(io.GetNumberOfComponents())
    if fault := _fault(path, companions, size, stored, channels):
        yield fault
        return
    if not all(np.abs(io.GetDirection(i)).max() <= MAX_DIRECTION for i in range(dims)):
        yield Reject(path, "corrupt", "its axes are no directions")
        return
    affine, flags = _affine(io, dims)
    axis = 2 if size[2] == 1 else acquisition_axis(voxel_sizes(affine))
    signed_axes, xyz_affine = slicing(affine, size[:3], axis)
    lazy = LazyVolume(path, partial(_load, path, size, channels, str(stored)))
    n, height, width = (size[abs(a) - 1] for a in signed_axes)
    dtype = np.dtype(np.uint8) if channels == 3 else _value_dtype(np.dtype(stored))

    def read_frame(i: int) -> NDArray[Any]:
        return reorder(lazy.get(), signed_axes)[i].astype(dtype, copy=False)

    yield Stack(
        read_frame=read_frame,
        geometry=SliceGeometry.from_affine(xyz_affine, n),
        height=height,
        width=width,
        channels=channels,
        dtype=dtype,
        modality="unknown",
        units="display" if channels == 3 else "raw",
        source_format="nrrd" if path.suffix.lower() in (".nrrd", ".nhdr") else "metaimage",
        sources=(path, *companions),
        frame_sources=(0,) * n,
        flags=frozenset(flags),
    )


def _fault(
    path: Path, companions: tuple[Path, ...], size: tuple[int, ...], stored: str | None, channels: int
) -> Reject | None:
    if stored is None or channels not in (1, 3) or (channels == 3 and stored != "u1"):
        return Reject(path, "unsupported", "pixels are neither one number nor 8-bit RGB")
    if len(size) > 3 and max(size[3:]) > 1:
        return Reject(path, "unsupported", "more than three dimensions; store one volume a file")
    itemsize = np.dtype(stored).itemsize * channels
    if reason := size_fault(size[1], size[0], size[2], itemsize):
        return Reject(path, "too_large", reason)
    present = sum(source.stat().st_size for source in (path, *companions))
    # Both formats may hold deflated pixels, which only their decoder can tell; no honest file beats this ratio.
    if size[0] * size[1] * size[2] * itemsize > present * MAX_DEFLATE_RATIO:
        return Reject(path, "truncated", "the header declares more pixels than the file can hold; copy the file again")
    return None


def _affine(io: Any, dims: int) -> tuple[NDArray[np.float64], set[str]]:
    """(4, 4) from (i, j, k) to LPS mm, and the flags that say what it is worth."""
    origin, spacing, direction = np.zeros(3), np.ones(3), np.eye(3)
    for i in range(min(dims, 3)):
        origin[i], spacing[i] = io.GetOrigin(i), io.GetSpacing(i)
        if dims >= 3:
            direction[:, i] = io.GetDirection(i)[:3]
    affine = itk_affine(origin, spacing, direction)
    if not is_usable(affine):
        return np.eye(4), {"no_geometry", "no_spacing"}
    return affine, set() if dims >= 3 else {"no_geometry"}


def _value_dtype(stored: np.dtype[Any]) -> np.dtype[Any]:
    if stored.kind == "f":
        return np.dtype(np.float32)
    info = np.iinfo(stored)
    return np.dtype(exact_dtype(info.min, info.max, integral=True))


def _itk() -> Any:
    """ITK. It imports PyTorch, with 3 GB of address space, unless it is told that there is none."""
    from itk.support import helpers

    helpers._HAVE_TORCH = helpers._HAVE_TORCH and "torch" in sys.modules
    import itk

    return itk


def _load(path: Path, size: tuple[int, ...], channels: int, stored: str) -> NDArray[Any]:
    """(I, J, K) or (I, J, K, 3)."""
    itk = _itk()
    # ITK wraps no images of three-vectors for Python, only of colours. Where it has to guess a type that it does not
    # have, it loads all of its modules, for half a minute.
    pixel_type = itk.RGBPixel[itk.UC] if channels == 3 else getattr(itk, PIXELS[stored])
    reader = itk.ImageFileReader[itk.Image[pixel_type, 3]].New()
    reader.SetFileName(str(path))
    reader.Update()
    array = itk.array_from_image(reader.GetOutput())
    shape = (size[2], size[1], size[0]) + ((3,) if channels == 3 else ())
    return np.swapaxes(array.reshape(shape), 0, 2)
