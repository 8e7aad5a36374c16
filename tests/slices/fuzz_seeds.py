"""Whole files of every format that is read, from which the fuzzer makes broken ones."""

from __future__ import annotations

import gzip
import io
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import itk
import nibabel
import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image

DICOM = (
    "CT_small.dcm",
    "MR_small.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_implicit.dcm",
    "MR_small_RLE.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "JPEG-lossy.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "SC_rgb_rle_16bit_2frame.dcm",
    "SC_ybr_full_422_uncompressed.dcm",
    "image_dfl.dcm",
    "no_meta.dcm",
    "693_J2KI.dcm",
)
"""Test files of pydicom: one a transfer syntax, without file meta, multi-frame, in colour."""


def seeds() -> dict[str, bytes]:
    """Name -> content. The same at every call, but for the versions of the libraries that write them."""
    folder = Path(pydicom.__file__).parent / "data" / "test_files"
    dicom = {name: (folder / name).read_bytes() for name in DICOM}
    pictures = {f"grey16{suffix}": _picture(grey(np.uint16), suffix) for suffix in (".png", ".tiff")}
    pictures |= {f"grey8{suffix}": _picture(grey(np.uint8), suffix) for suffix in (".jpg", ".bmp")}
    pictures |= {"rgb.png": _picture(colour(), ".png"), "lzw.tif": _picture(colour(), ".tif", compression="tiff_lzw")}
    members = {"a/ct.dcm": dicom["MR_small.dcm"], "b/rgb.png": pictures["rgb.png"]}
    return {**dicom, **_nifti(), **_itk(), **pictures, **_archives(members), "pcam.h5": _hdf5()}


def grey(dtype: type) -> NDArray[Any]:
    """(40, 48) with every value different."""
    return np.arange(40 * 48).reshape(40, 48).astype(dtype)


def colour() -> NDArray[np.uint8]:
    """(40, 48, 3)."""
    return np.random.default_rng(0).integers(0, 255, (40, 48, 3), dtype=np.uint8)


def volume() -> NDArray[np.int16]:
    """(12, 40, 36), smooth enough to be compressed."""
    x, y, z = np.mgrid[:12, :40, :36]
    return (x * 30 + y * 11 + z * 7 - 200).astype(np.int16)


def _saved(save: Callable[[Path], object], suffix: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"file{suffix}")
        save(path)
        return path.read_bytes()


def _picture(pixels: NDArray[Any], suffix: str, **options: Any) -> bytes:
    return _saved(lambda path: Image.fromarray(pixels).save(path, **options), suffix)


def _nifti() -> dict[str, bytes]:
    affine = np.diag([0.8, 0.8, 2.5, 1.0])
    one = nibabel.Nifti1Image(volume(), affine).to_bytes()
    two = nibabel.Nifti2Image(volume().astype(np.float32), affine).to_bytes()
    mgz = _saved(lambda path: nibabel.save(nibabel.MGHImage(volume().astype(np.float32), affine), path), ".mgz")
    return {"one.nii": one, "two.nii": two, "packed.nii.gz": gzip.compress(one, 1, mtime=0), "brain.mgz": mgz}


def _itk() -> dict[str, bytes]:
    image = itk.image_from_array(volume())
    mha = _saved(lambda path: itk.imwrite(image, str(path)), ".mha")
    nrrd = _saved(lambda path: itk.imwrite(image, str(path)), ".nrrd")
    packed = _saved(lambda path: itk.imwrite(image, str(path), compression=True), ".nrrd")
    return {"plain.mha": mha, "plain.nrrd": nrrd, "packed.nrrd": packed}


def _archives(members: dict[str, bytes]) -> dict[str, bytes]:
    packed, plain = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return {
        "series.zip": packed.getvalue(),
        "series.tar": plain.getvalue(),
        "series.tar.gz": gzip.compress(plain.getvalue(), 1, mtime=0),
    }


def _hdf5() -> bytes:
    def save(path: Path) -> None:
        with h5py.File(path, "w") as file:
            pixels = np.random.default_rng(0).integers(0, 255, (3, 96, 96, 3), dtype=np.uint8)
            file.create_dataset("x", data=pixels, chunks=(1, 96, 96, 3), compression="gzip")

    return _saved(save, ".h5")
