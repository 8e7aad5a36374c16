"""What `slices.py` measures: this package and the readers that people use, each as a function of a path."""

from __future__ import annotations

import io
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import itk
import nibabel
import numpy as np
import pydicom
import SimpleITK
from monai.transforms import LoadImage, LoadImaged
from numpy.typing import NDArray
from PIL import Image
from pydicom.encaps import get_frame
from pydicom.pixels import get_decoder

from lvm_med_monai.slices import SlicePolicy, Stack, extract, iter_stacks, read_manifest
from lvm_med_monai.slices.store.shards import read_stored
from lvm_med_monai.slices.store.storage import Storage

Array = NDArray[Any]
Reader = Callable[[Path], Array]
ALL = SlicePolicy(every_mm=0, min_foreground=0, min_std=0)
WINDOW = (-160.0, 240.0)


def ours(path: Path) -> Array:
    """Slices in order of position, (S, H, W)."""
    (stack,) = [item for item in iter_stacks(path) if isinstance(item, Stack)]
    return stack.array()


def ours_streamed(path: Path) -> Array:
    """One slice after the other, as extraction reads them; the result is filled in for the check."""
    (stack,) = [item for item in iter_stacks(path) if isinstance(item, Stack)]
    out = np.empty((stack.n_slices, *stack.frame_shape), stack.dtype)
    for index in range(stack.n_slices):
        out[index] = stack.frame(index)
    return out


def raw_bytes(path: Path) -> Array:
    """The floor: reading the files, in no order."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return np.array([len(file.read_bytes()) for file in files])


def with_pydicom(path: Path) -> Array:
    """`pixel_array` of each file, sorted by position."""
    datasets = [pydicom.dcmread(file) for file in path.iterdir()]
    datasets.sort(key=lambda dataset: float(dataset.ImagePositionPatient[2]))
    return np.stack([dataset.pixel_array for dataset in datasets])


def with_simpleitk(path: Path) -> Array:
    """`ImageSeriesReader` on a folder, `ReadImage` on a file."""
    if not path.is_dir():
        return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(path)))
    image = reader.Execute()
    return SimpleITK.GetArrayFromImage(image)


def with_itk(path: Path) -> Array:
    """`itk.imread` of the names that GDCM sorts, or of a file."""
    if not path.is_dir():
        return np.array(itk.array_view_from_image(itk.imread(str(path))))
    names = itk.GDCMSeriesFileNames.New()
    names.SetDirectory(str(path))
    image = itk.imread([str(name) for name in names.GetFileNames(names.GetSeriesUIDs()[0])])
    return np.array(itk.array_view_from_image(image))


def with_monai(reader: str | None) -> Reader:
    """MONAI's reader by name; None is the default of `LoadImaged`. Its (X, Y, Z) is turned into (Z, Y, X)."""

    def read(path: Path) -> Array:
        if reader is None:
            loaded = LoadImaged(keys="image")({"image": path})["image"]
        else:
            loaded = LoadImage(reader=reader, image_only=True)(path)
        return np.asarray(loaded).transpose(2, 1, 0)

    return read


def with_nibabel(path: Path) -> Array:
    """The stored values as they are, (Z, Y, X)."""
    return np.asarray(nibabel.load(path).dataobj).transpose(2, 1, 0)


def with_dcm2niix(path: Path) -> Array:
    """Conversion to an uncompressed NIfTI, which is then read; its rows run from back to front."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["dcm2niix", "-z", "n", "-o", folder, str(path)], check=True, capture_output=True)
        (file,) = Path(folder).glob("*.nii")
        return with_nibabel(file)[:, ::-1]


def dicom_readers() -> dict[str, Reader]:
    """Readers of a folder with an uncompressed series."""
    readers: dict[str, Reader] = {
        "ours": ours,
        "raw read": raw_bytes,
        "SimpleITK": with_simpleitk,
        "pydicom": with_pydicom,
        "ITK": with_itk,
        "MONAI LoadImaged (default)": with_monai(None),
        "MONAI PydicomReader": with_monai("PydicomReader"),
    }
    if shutil.which("dcm2niix"):
        readers["dcm2niix -z n, nibabel"] = with_dcm2niix
    return readers


def nifti_readers() -> dict[str, Reader]:
    """Readers of a .nii.gz file."""
    return {
        "ours, slice by slice": ours_streamed,
        "ours, whole": ours,
        "raw read": raw_bytes,
        "ITK": with_itk,
        "SimpleITK": with_simpleitk,
        "nibabel": with_nibabel,
        "MONAI NibabelReader": with_monai("NibabelReader"),
    }


def our_pngs(path: Path) -> Array:
    """Extraction as the command does it, in this process: plan, hashes, manifest, 8-bit PNG in shards."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out")
        source = _as_ct(path)
        extract([source], out, ALL, Path(folder, "key"), progress=False, storage=Storage(bits=8, preset="ct"))
        rows = read_manifest(out).to_pylist()
        return np.stack([read_stored(out, row) for row in (rows[0], rows[len(rows) // 2], rows[-1])])


def _as_ct(path: Path) -> Any:
    from lvm_med_monai.slices import Source

    return Source(path, modality="CT")


def monai_pngs(path: Path) -> Array:
    """`LoadImage`, scale to the window, Pillow's PNG with its defaults."""
    from monai.transforms import Compose, ScaleIntensityRange

    steps = [LoadImage(image_only=True), ScaleIntensityRange(*WINDOW, 0, 255, clip=True)]
    volume = np.asarray(Compose(steps)(path)).transpose(2, 1, 0)
    return _pillow_pngs([np.rint(plane).astype(np.uint8) for plane in volume])


def published_pngs(path: Path) -> Array:
    """The recipe of LVM-Med's `MMWHS_CT_Heart_split.py`, with the call that nibabel has since removed replaced."""
    volume = nibabel.load(path).get_fdata()
    lower, upper = np.percentile(volume, (0.5, 99.5))
    volume = np.clip(volume, lower, upper)
    volume = np.clip((volume - volume.mean()) / volume.std() / 10, 0, 1)
    return _pillow_pngs([(255 * volume[:, :, index]).astype(np.uint8).T for index in range(volume.shape[2])])


def _pillow_pngs(planes: list[Array]) -> Array:
    files = []
    for plane in planes:
        buffer = io.BytesIO()
        Image.fromarray(plane).save(buffer, format="PNG")
        files.append(buffer)
    chosen = (files[0], files[len(files) // 2], files[-1])
    return np.stack([np.asarray(Image.open(file)) for file in chosen])


def writers(dicom: bool) -> dict[str, Reader]:
    """From files to 8-bit PNG; what comes back are the first, middle and last picture."""
    both = {"ours": our_pngs, "MONAI LoadImage, scale, Pillow": monai_pngs}
    return both if dicom else {**both, "the published script": published_pngs}


def syntax_readers(name: str) -> dict[str, Reader]:
    """Readers of a folder in a compressed transfer syntax; libraries get the fragments, without any header's cost."""
    plugins = {"RLE": ("pylibjpeg", "pydicom", "gdcm"), "JPEG-LS": ("pyjpegls", "pylibjpeg", "gdcm")}
    functions = {"JPEG-LS": imagecodecs.jpegls_decode, "JPEG 2000": imagecodecs.jpeg2k_decode}
    readers: dict[str, Reader] = {"ours": ours, "SimpleITK": with_simpleitk}
    for plugin in plugins.get(name, ("pylibjpeg", "gdcm")):
        readers[f"pydicom, {plugin}"] = _with_plugin(plugin)
    if name in functions:
        readers["imagecodecs"] = _with_function(functions[name])
    return readers


def _sorted(path: Path) -> list[pydicom.Dataset]:
    datasets = [pydicom.dcmread(file) for file in path.iterdir()]
    return sorted(datasets, key=lambda dataset: float(dataset.ImagePositionPatient[2]))


def _with_plugin(plugin: str) -> Reader:
    def read(path: Path) -> Array:
        frames = []
        for dataset in _sorted(path):
            decoder = get_decoder(dataset.file_meta.TransferSyntaxUID)
            frames.append(decoder.as_array(dataset, decoding_plugin=plugin)[0])
        return np.stack(frames)

    return read


def _with_function(decode: Callable[[bytes], Array]) -> Reader:
    def read(path: Path) -> Array:
        frames = [decode(get_frame(dataset.PixelData, 0, number_of_frames=1)) for dataset in _sorted(path)]
        return np.stack(frames).astype(np.int16)

    return read
