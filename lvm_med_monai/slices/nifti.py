"""NIfTI-1, NIfTI-2, Analyze 7.5 and FreeSurfer MGH/MGZ, through nibabel."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lvm_med_monai.slices.geometry import LPS_TO_RAS, SliceGeometry
from lvm_med_monai.slices.lazy_volume import LazyVolume, rescaled
from lvm_med_monai.slices.limits import MAX_DEFLATE_RATIO, size_fault
from lvm_med_monai.slices.stack import Reject, Stack, exact_dtype
from lvm_med_monai.slices.volume import acquisition_axis, is_usable, reorder, slicing, voxel_sizes

SUFFIXES = (".nii", ".nii.gz", ".hdr", ".hdr.gz", ".mgh", ".mgz")
RGB_DTYPE = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
FORMATS = {
    "Nifti1Image": "nifti",
    "Nifti1Pair": "nifti",
    "Nifti2Image": "nifti",
    "Nifti2Pair": "nifti",
    "AnalyzeImage": "analyze",
    "Spm99AnalyzeImage": "analyze",
    "Spm2AnalyzeImage": "analyze",
    "MGHImage": "mgh",
}


def read_nifti(path: Path, companions: tuple[Path, ...] = ()) -> Iterator[Stack | Reject]:
    """Stacks of one file, without reading its pixels.

    Slices are cut along the storage axis of the largest voxel size, or along axis 2 when there is none, and turned by
    flips and transposes to DICOM's display (`volume.DISPLAY_DIRECTIONS`). A slope of NaN or 0 means no scaling. Each
    further dimension gives one stack a volume. Where neither sform nor qform is coded, the coordinates are those that
    nibabel derives from the voxel sizes, and the stack is flagged ``no_geometry``.

    Args:
        path: .nii, .nii.gz, .hdr, .mgh or .mgz.
        companions: the .img of a .hdr; becomes a source too.

    Yields:
        One stack a volume, or one reject.
    """
    import nibabel
    from nibabel import imageglobals

    # nibabel logs header faults with the file's name, which may be a patient's.
    imageglobals.logger.setLevel(logging.CRITICAL)
    try:
        image = nibabel.load(path)
    except FileNotFoundError:
        yield Reject(path, "missing_data", "the header has no image file beside it; copy the .img too")
        return
    except Exception as error:  # nibabel raises many types for broken headers
        yield Reject(path, "corrupt", f"the header cannot be read ({type(error).__name__})")
        return
    if fault := _fault(image, path, companions):
        yield fault
        return
    shape = image.shape[:3] + (1,) * (3 - len(image.shape))
    lazy = LazyVolume(path, partial(_load, image, shape))
    for index in range(int(np.prod(image.shape[3:], dtype=np.int64))):
        yield _stack(image, shape, index, lazy, (path, *companions))


def _fault(image: Any, path: Path, companions: tuple[Path, ...]) -> Reject | None:
    if type(image).__name__ not in FORMATS:
        return Reject(path, "unsupported", "not NIfTI, Analyze or MGH")
    dtype = np.dtype(image.get_data_dtype())
    if dtype.names not in (None, ("R", "G", "B")) or dtype.kind not in "iufbV":
        return Reject(path, "unsupported", "pixels are complex or RGBA; store the magnitude or RGB")
    shape = tuple(int(n) for n in image.shape)
    if len(shape) < 2 or min(shape) < 1:
        return Reject(path, "corrupt", "the header declares an empty image")
    frames = int(np.prod([float(n) for n in shape[2:]]))
    if reason := size_fault(shape[0], shape[1], frames, dtype.itemsize):
        return Reject(path, "too_large", reason)
    declared = float(np.prod([float(n) for n in shape])) * dtype.itemsize
    data = companions[0] if companions else path
    packed = data.suffix in (".gz", ".mgz")
    present = float(data.stat().st_size) * (MAX_DEFLATE_RATIO if packed else 1)
    offset = 0.0 if packed else float(image.dataobj.offset)
    if declared + offset > present:
        return Reject(path, "truncated", "the header declares more pixels than the file can hold; copy the file again")
    return None


def _scaling(image: Any) -> tuple[float, float]:
    slope, intercept = image.dataobj.slope, image.dataobj.inter
    slope = 1.0 if slope is None or not np.isfinite(slope) or slope == 0 else float(slope)
    return slope, float(intercept) if intercept is not None and np.isfinite(intercept) else 0.0


def _load(image: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    """(I, J, K, volumes) as stored, without scaling."""
    return np.asarray(image.dataobj.get_unscaled()).reshape((*shape, -1), order="F")


def _value_dtype(stored: np.dtype[Any], slope: float, intercept: float) -> np.dtype[Any]:
    if stored.kind == "b":
        return np.dtype(np.int16)
    if stored.kind not in "iu" or stored.itemsize > 4:
        return np.dtype(np.float32)
    info = np.iinfo(stored)
    integral = slope == 1 and intercept == int(intercept)
    return np.dtype(exact_dtype(info.min + intercept, info.max + intercept, integral))


def _has_coordinates(image: Any) -> bool:
    """Whether the header says where the patient is; Analyze never does, NIfTI only with a form code above 0."""
    if FORMATS[type(image).__name__] == "analyze":
        return False
    if "qform_code" not in image.header:
        return True
    return int(image.header["qform_code"]) > 0 or int(image.header["sform_code"]) > 0


def _stack(image: Any, shape: tuple[int, ...], index: int, lazy: LazyVolume, sources: tuple[Path, ...]) -> Stack:
    flags: set[str] = set()
    affine = LPS_TO_RAS @ np.asarray(image.affine, dtype=np.float64)
    if not is_usable(affine):
        affine = np.eye(4)
        flags |= {"no_geometry", "no_spacing"}
    elif not _has_coordinates(image):
        flags.add("no_geometry")
    axis = 2 if shape[2] == 1 else acquisition_axis(voxel_sizes(affine))
    signed_axes, xyz_affine = slicing(affine, shape, axis)
    stored = np.dtype(image.get_data_dtype())
    colour = stored.names is not None
    slope, intercept = _scaling(image)
    dtype = np.dtype(np.uint8) if colour else _value_dtype(stored, slope, intercept)
    n, height, width = (shape[abs(a) - 1] for a in signed_axes)
    return Stack(
        read_frame=_frame_reader(lazy, index, signed_axes, colour, (slope, intercept), dtype),
        geometry=SliceGeometry.from_affine(xyz_affine, n),
        height=height,
        width=width,
        channels=3 if colour else 1,
        dtype=dtype,
        modality="unknown",
        units="display" if colour else "raw",
        source_format=FORMATS[type(image).__name__],
        sources=sources,
        frame_sources=(0,) * n,
        flags=frozenset(flags),
    )


def _frame_reader(
    lazy: LazyVolume,
    index: int,
    signed_axes: tuple[int, int, int],
    colour: bool,
    scaling: tuple[float, float],
    dtype: np.dtype[Any],
) -> Callable[[int], NDArray[Any]]:
    def read_frame(i: int) -> NDArray[Any]:
        frame = reorder(lazy.get()[..., index], signed_axes)[i]
        if colour:
            return np.stack([frame["R"], frame["G"], frame["B"]], axis=-1)
        return rescaled(frame, *scaling, dtype)

    return read_frame
