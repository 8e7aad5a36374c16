"""NIfTI-1, NIfTI-2, Analyze 7.5 and FreeSurfer MGH/MGZ, through nibabel."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lvm_med_monai.slices.geometry import LPS_TO_RAS, SliceGeometry
from lvm_med_monai.slices.limits import MAX_DEFLATE_RATIO, size_fault
from lvm_med_monai.slices.stack import Reject, Stack, exact_dtype
from lvm_med_monai.slices.volumes.cutting import acquisition_axis, is_usable, reorder, slicing, voxel_sizes
from lvm_med_monai.slices.volumes.lazy import read_or_reject, rescaled
from lvm_med_monai.slices.volumes.slabs import Slabs

SUFFIXES = (".nii", ".nii.gz", ".hdr", ".hdr.gz", ".mgh", ".mgz")
MAX_OFFSET = 64 << 20
"""Bytes before the first voxel; what precedes them is a header and its extensions."""
MAX_FLOAT_BYTES = 8
"""Of one number; longer ones differ between platforms."""
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

    A gzipped file is inflated slice by slice while ``frame(i)`` is called with ascending i, if the slices are cut along
    the last storage axis and lie there in ascending order; otherwise it is inflated into memory as a whole, at most to
    the size that its header declares. The checksum is verified with the last slice of a single volume, and before the
    first slice of several; a damaged or too long file raises `FrameError`.

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
    except MemoryError:
        raise
    except Exception as error:  # nibabel raises many types for broken headers
        yield Reject(path, "corrupt", f"the header cannot be read ({type(error).__name__})")
        return
    if fault := _fault(image, path, companions):
        yield fault
        return
    shape = image.shape[:3] + (1,) * (3 - len(image.shape))
    volumes = int(np.prod(image.shape[3:], dtype=np.int64))
    slab_bytes = shape[0] * shape[1] * image.get_data_dtype().itemsize
    data = companions[0] if companions else Path(image.file_map["image"].filename)
    slabs = Slabs(data, int(image.dataobj.offset), slab_bytes, shape[2] * volumes, check_first=volumes > 1)
    for index in range(volumes):
        yield _stack(image, shape, index, slabs, (path, *companions))


def _fault(image: Any, path: Path, companions: tuple[Path, ...]) -> Reject | None:
    if type(image).__name__ not in FORMATS:
        return Reject(path, "unsupported", "not NIfTI, Analyze or MGH")
    dtype = np.dtype(image.get_data_dtype())
    if dtype.names not in (None, ("R", "G", "B")) or dtype.kind not in "iufbV":
        return Reject(path, "unsupported", "pixels are complex or RGBA; store the magnitude or RGB")
    if dtype.kind == "f" and dtype.itemsize > MAX_FLOAT_BYTES:
        return Reject(path, "unsupported", "pixels are floats of more than 64 bits; store float32")
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
    offset = float(image.dataobj.offset)
    if not 0 <= offset <= MAX_OFFSET:
        return Reject(path, "corrupt", f"the header declares pixels that begin at byte {offset:.0f}")
    if declared + offset > present:
        return Reject(path, "truncated", "the header declares more pixels than the file can hold; copy the file again")
    return None


def _scaling(image: Any) -> tuple[float, float]:
    slope, intercept = image.dataobj.slope, image.dataobj.inter
    slope = 1.0 if slope is None or not np.isfinite(slope) or slope == 0 else float(slope)
    return slope, float(intercept) if intercept is not None and np.isfinite(intercept) else 0.0


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


def _stack(image: Any, shape: tuple[int, ...], index: int, slabs: Slabs, sources: tuple[Path, ...]) -> Stack:
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
    scaling = _scaling(image)
    dtype = np.dtype(np.uint8) if colour else _value_dtype(stored, *scaling)
    n, height, width = (shape[abs(a) - 1] for a in signed_axes)
    voxels = _voxel_reader(slabs, stored, shape, index, signed_axes)
    return Stack(
        read_frame=_frame_reader(sources[0], voxels, colour, scaling, dtype),
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


def _voxel_reader(
    slabs: Slabs, stored: np.dtype[Any], shape: tuple[int, ...], index: int, signed_axes: tuple[int, int, int]
) -> Callable[[int], NDArray[Any]]:
    """From slice number to (H, W) as stored, of volume ``index``: from one slab where the slices lie in its order."""

    def from_slab(i: int) -> NDArray[Any]:
        slab = slabs.read(index * shape[2] + i).view(stored)
        return reorder(slab.reshape((*shape[:2], 1), order="F"), signed_axes)[0]

    def from_whole(i: int) -> NDArray[Any]:
        volumes = slabs.whole().view(stored).reshape((*shape[:3], -1), order="F")
        return reorder(volumes[..., index], signed_axes)[i]

    return from_slab if signed_axes[0] == 3 else from_whole


def _frame_reader(
    path: Path,
    read_voxels: Callable[[int], NDArray[Any]],
    colour: bool,
    scaling: tuple[float, float],
    dtype: np.dtype[Any],
) -> Callable[[int], NDArray[Any]]:
    def read_frame(i: int) -> NDArray[Any]:
        voxels = read_or_reject(path, lambda: read_voxels(i))
        if colour:
            return np.stack([voxels["R"], voxels["G"], voxels["B"]], axis=-1)
        return rescaled(voxels, *scaling, dtype)

    return read_frame
