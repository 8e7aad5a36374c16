"""Masks as files beside what they were made of: PNG for pictures, NIfTI for volumes."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from monai.data import FolderLayoutBase, ImageWriter
from monai.data.meta_tensor import MetaTensor
from monai.utils import ImageMetaKey, MetaKeys, convert_data_type
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform
from numpy.typing import DTypeLike, NDArray
from PIL import Image

from lvm_med_monai.whole_file import whole_file

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff")
_TOLERANCE_MM = 1e-2
"""Affines that differ by less are the same: headers round."""
_FAST = 1
"""Level at which masks are compressed, as nibabel does."""
VOLUMES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".mgz", ".mgh", ".hdr", ".img")


def mask_name(meta: Mapping[str, Any], saver: Any) -> dict[str, Any]:
    """Arguments of `MaskFolder.filename`: an ``output_name_formatter`` of MONAI's ``SaveImaged``."""
    shape = tuple(meta.get(ImageMetaKey.SPATIAL_SHAPE, ()))
    return {"source": str(meta.get(ImageMetaKey.FILENAME_OR_OBJ, "")), "slices": int(shape[2]) if len(shape) > 2 else 1}


class MaskFolder(FolderLayoutBase):
    """Names of masks in one folder: ``<stem>_<postfix>.png`` of a picture, ``.nii.gz`` of anything else.

    A DICOM series is called by its folder. Where two inputs of a run would get one name, the second gets the names of
    its folders before it, as many as it takes.

    Args:
        output_dir: folder of the masks, made when it is needed.
        postfix: end of each name.
    """

    def __init__(self, output_dir: str | Path, postfix: str = "seg") -> None:
        self.output_dir = Path(output_dir)
        self.postfix = postfix
        self._taken: dict[str, str] = {}

    def filename(self, source: str = "", slices: int = 1, **kwargs: Any) -> str:
        """Path of the mask of an input.

        Args:
            source: file or folder that was read.
            slices: of the volume.
            kwargs: none; MONAI's interface has them.

        Raises:
            ValueError: two inputs cannot be told apart by name.
        """
        path = Path(source or "image")
        extension = ".png" if path.suffix.lower() in PICTURES and slices == 1 else ".nii.gz"
        for stem in _stems(path, slices):
            name = f"{stem}_{self.postfix}{extension}"
            if self._taken.setdefault(name, str(path)) == str(path):
                self.output_dir.mkdir(parents=True, exist_ok=True)
                return str(self.output_dir / name)
        raise ValueError(f"the masks of two inputs would both be called after {path.name}: rename one")


def _stems(path: Path, slices: int) -> Iterator[str]:
    """Names to try, shortest first."""
    suffix = next((end for end in (*PICTURES, *sorted(VOLUMES, key=len, reverse=True)) if _ends(path, end)), None)
    stem = path.name[: -len(suffix)] if suffix else path.name.removesuffix(".dcm")
    folders = list(path.parent.parts)
    if suffix is None and slices > 1 and folders and not path.is_dir():
        yield folders[-1]
    yield stem
    for folder in reversed(folders):
        stem = f"{folder}_{stem}"
        yield stem


def _ends(path: Path, suffix: str) -> bool:
    return path.name.lower().endswith(suffix)


class MaskWriter(ImageWriter):
    """Writes a mask as PNG or NIfTI, as the name says: a ``writer`` of MONAI's ``SaveImaged``.

    A PNG has one channel of 8 bits, whose values are the numbers of the classes: a mask of class 1 looks black.

    Args:
        output_dtype: of NIfTI's voxels.
        kwargs: of MONAI's ``ImageWriter``.
    """

    def __init__(self, output_dtype: Any = np.uint8, **kwargs: Any) -> None:
        super().__init__(output_dtype=output_dtype, **{key: value for key, value in kwargs.items() if key != "scale"})
        self._mask: Any = None
        self._affine = np.eye(4)
        self._source = ""

    def set_data_array(self, data_array: Any, **options: Any) -> None:
        """Take the mask, (1, W, H, D)."""
        values = data_array.as_tensor() if isinstance(data_array, MetaTensor) else data_array
        self._mask = convert_data_type(values, np.ndarray)[0]

    def set_metadata(self, meta_dict: Mapping | None = None, **options: Any) -> None:
        """Take the affine; a mask is never resampled."""
        affine = (meta_dict or {}).get(MetaKeys.AFFINE)
        self._affine = np.eye(4) if affine is None else np.asarray(affine, np.float64)
        self._source = str((meta_dict or {}).get(ImageMetaKey.FILENAME_OR_OBJ, ""))

    def write(self, filename: Any, verbose: bool = False, **kwargs: Any) -> None:
        """Write the file; it appears whole.

        Raises:
            ValueError: the name is of another format, the mask has several channels or values that the file cannot
                hold, or a PNG is asked for several slices.
        """
        path = Path(str(filename))
        if self._mask.shape[0] != 1:
            raise ValueError(f"a mask has one channel, {path.name} would have {self._mask.shape[0]}")
        if path.name.lower().endswith(".png"):
            with whole_file(path) as partial:
                self._picture(path.name).save(partial, format="PNG")
        elif path.name.lower().endswith((".nii", ".nii.gz")):
            content = self._volume(path.name).to_bytes()
            with whole_file(path) as partial:
                partial.write_bytes(gzip.compress(content, _FAST, mtime=0) if path.suffix.lower() == ".gz" else content)
        else:
            raise ValueError(f"a mask is written as .png, .nii or .nii.gz, got {path.name}")

    def _picture(self, name: str) -> Image.Image:
        mask = self._mask[0]
        if mask.size != mask.shape[0] * mask.shape[1]:
            raise ValueError(f"a PNG holds one picture, {name} would have to hold {mask.shape[2]}")
        return Image.fromarray(_as_integers(mask.reshape(mask.shape[:2]), np.uint8, name).T)

    def _volume(self, name: str) -> nib.Nifti1Image:
        mask = _as_integers(self._mask[0], self.output_dtype, name)
        volume = nib.Nifti1Image(*_as_stored(mask, self._affine, self._source))
        volume.header.set_xyzt_units("mm")
        return volume


def _as_integers(mask: NDArray[Any], dtype: DTypeLike, name: str) -> NDArray[Any]:
    """A mask in another type.

    Raises:
        ValueError: a value would become another one.
    """
    with np.errstate(invalid="ignore"):
        cast = mask.astype(dtype, copy=False)
    changed = mask[cast != mask]
    if changed.size:
        raise ValueError(
            f"{name} would hold {changed.flat[0]:g}, which {np.dtype(dtype)} cannot: a mask holds numbers of classes, "
            "and a PNG those of 0 to 255; for more give SaveImaged .nii.gz and output_dtype"
        )
    return cast


def _as_stored(
    mask: NDArray[Any], affine: NDArray[np.float64], source: str
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """A mask with its axes in the order and direction of the NIfTI file that it belongs to.

    `SliceReader` turns slices, with an affine to match: masks without this would lie in the right place, but differ
    from the file voxel by voxel. Other formats have no affine of their own, and keep the reader's.
    """
    if not source.lower().endswith((".nii", ".nii.gz")) or not Path(source).is_file():
        return mask, affine
    wanted = nib.load(source)
    turn = ornt_transform(io_orientation(affine), io_orientation(wanted.affine))
    turned, placed = apply_orientation(mask, turn), affine @ inv_ornt_aff(turn, mask.shape)
    same = turned.shape == wanted.shape[:3] and np.allclose(placed, wanted.affine, atol=_TOLERANCE_MM)
    return (turned, wanted.affine) if same else (mask, affine)
