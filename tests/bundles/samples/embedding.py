"""Small data for slice_embedding: single slices of three scans with labels, and whole scans to embed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image

from lvm_med_monai.slices import SlicePolicy, Source, Stack, extract, iter_stacks

DATA = Path(__file__).resolve().parents[3] / "demo_data"
_SECTIONS = {"training": range(0, 4), "validation": range(4, 7), "test": range(7, 10)}


def write(bundle: str, folder: Path) -> Path:
    """Slices as NIfTI and PNG files with ``dataset.json``, and extracted slices; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    kinds = {"abdomen CT": _abdomen(), "brain MR": _brain(), "chest CT": _chest()}
    sections: dict[str, list[dict]] = {name: [] for name in _SECTIONS}
    for kind, slices in kinds.items():
        for section, numbers in _SECTIONS.items():
            for number in numbers:
                path = _save(folder, f"{kind.split()[0]}_{number}", slices[number])
                sections[section].append({"image": path, "label": kind})
    (folder / "dataset.json").write_text(json.dumps(sections))
    _extracted(folder)
    return folder


def scans(bundle: str, folder: Path) -> Path:
    """A DICOM series of three slices, a volume of four and a picture."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "series").mkdir(exist_ok=True)
    for path in sorted((DATA / "brain_mr_dicom").glob("*.dcm"))[:3]:
        shutil.copy(path, folder / "series" / path.name)
    image = nib.load(DATA / "abdomen_ct" / "ct.nii.gz")
    nib.save(image.slicer[::2, ::2, 40:44], folder / "ct.nii.gz")
    _save(folder, "picture", _brain()[3])
    return folder


def _extracted(folder: Path) -> None:
    """Slices of two modalities and three splits in the folder ``slices``."""
    sources = []
    for split, numbers in {"train": (0, 1, 2), "validation": (3, 4), "test": (5, 6)}.items():
        for modality, prefix in (("MR", "brain"), ("CT", "abdomen")):
            part = folder / "scans" / split / modality
            part.mkdir(parents=True, exist_ok=True)
            for number in numbers:
                (path,) = folder.glob(f"{prefix}_{number}.*")
                shutil.copy(path, part)
            sources.append(Source(part, dataset=modality, modality=modality, split=split))
    extract(sources, folder / "slices", SlicePolicy(min_foreground=0), folder / "key", progress=False)


def _save(folder: Path, name: str, pixels: np.ndarray) -> str:
    """CT as NIfTI of one slice in HU, anything else as PNG."""
    if pixels.min() < -500:
        nib.save(
            nib.Nifti1Image(pixels.T[:, :, None].astype(np.float32), np.diag([3.0, 3, 3, 1])), folder / f"{name}.nii.gz"
        )
        return f"{name}.nii.gz"
    low, high = pixels.min(), pixels.max()
    Image.fromarray(np.uint8((pixels - low) / (high - low) * 255)).save(folder / f"{name}.png")
    return f"{name}.png"


def _abdomen() -> list[np.ndarray]:
    volume = np.asarray(nib.load(DATA / "abdomen_ct" / "ct.nii.gz").dataobj, np.float32)
    return [volume[:, :, 20 + 7 * place].T for place in range(10)]


def _chest() -> list[np.ndarray]:
    volume = np.asarray(nib.load(DATA / "chest_ct" / "ct.nii.gz").dataobj[::2, ::2], np.float32)
    return [volume[:, :, 20 + 12 * place].T for place in range(10)]


def _brain() -> list[np.ndarray]:
    (stack,) = (item for item in iter_stacks(DATA / "brain_mr_tumour" / "t1_gd.nrrd") if isinstance(item, Stack))
    return [np.asarray(stack.read_frame(3 + 2 * place), np.float32)[::2, ::2] for place in range(10)]
