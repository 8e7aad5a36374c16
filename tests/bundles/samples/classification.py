"""Small data for the classification bundles: brain MR slices, chest CT projected like a radiograph, drawn fundi."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image, ImageDraw

from lvm_med_monai.slices import SlicePolicy, Source, Stack, extract, iter_stacks, read_manifest

DATA = Path(__file__).resolve().parents[3] / "demo_data"
FINDINGS = 5
SECTIONS = ("training", "validation", "test")
_BRAIN = ("glioma_tumor", "meningioma_tumor", "no_tumor", "pituitary_tumor")
_PICTURES = {"training": 8, "validation": 5, "test": 5}


def write(bundle: str, folder: Path) -> Path:
    """Pictures and ``dataset.json`` with three sections, laid out as the bundle's own data; returns the folder.

    For brains also extracted slices.
    """
    folder.mkdir(parents=True, exist_ok=True)
    maker = {"brain": _brain, "diabetic": _fundi, "chest": _chests}[bundle.split("_")[0]]
    sections = maker(folder)
    (folder / "dataset.json").write_text(json.dumps(sections))
    if bundle.startswith("brain"):
        _extracted(folder, sections)
    return folder


def scans(bundle: str, folder: Path) -> Path:
    """Inputs for inference: pictures of two sizes; for brains also a DICOM file and a NIfTI file of one slice."""
    folder.mkdir(parents=True, exist_ok=True)
    if bundle.startswith("brain"):
        _grey(_brain_slices()[5]).save(folder / "slice.png")
        shutil.copy(next(iter(sorted((DATA / "brain_mr_dicom").glob("*.dcm")))), folder / "slice.dcm")
        volume = np.asarray(_brain_slices()[6].T[:, :, None], np.float32)
        nib.save(nib.Nifti1Image(volume, np.eye(4)), folder / "slice.nii.gz")
    elif bundle.startswith("diabetic"):
        _fundus(2, 0).save(folder / "left.png")
        _fundus(4, 1).resize((96, 80)).save(folder / "right.jpg")
    else:
        _grey(_projection(0.0)).save(folder / "frontal.jpg")
        _grey(_projection(4.0)).resize((100, 120)).save(folder / "again.png")
    return folder


def _extracted(folder: Path, sections: dict[str, list[dict]]) -> None:
    """The same pictures as extracted slices, in the folder ``slices``, with a datalist of their own."""
    for section in SECTIONS:
        (folder / "pictures" / section).mkdir(parents=True, exist_ok=True)
        for entry in sections[section]:
            shutil.copy(folder / entry["image"], folder / "pictures" / section)
    sources = [Source(folder / "pictures" / name, split=name) for name in SECTIONS]
    extract(sources, folder / "slices", SlicePolicy(min_foreground=0), folder / "key", progress=False)
    labels: dict[str, list[dict]] = {name: [] for name in SECTIONS}
    for row in read_manifest(folder / "slices").to_pylist():
        own = labels[row["split"]]
        own.append({"image": row["slice_id"], "label": sections[row["split"]][len(own)]["label"]})
    (folder / "slices" / "dataset.json").write_text(json.dumps(labels))


def _brain(folder: Path) -> dict[str, list[dict]]:
    """Kaggle's folders of classes; the class of a slice is the quarter of the head that it lies in."""
    slices = _brain_slices()
    sections: dict[str, list[dict]] = {name: [] for name in SECTIONS}
    for index, pixels in enumerate(slices[2:22]):
        kind, place = index // 5, index % 5
        section = ("training", "training", "training", "validation", "test")[place]
        path = Path("Testing" if section == "test" else "Training") / _BRAIN[kind] / f"image({index}).jpg"
        (folder / path.parent).mkdir(parents=True, exist_ok=True)
        _grey(pixels).save(folder / path)
        sections[section].append({"image": str(path), "label": kind})
    return sections


def _fundi(folder: Path) -> dict[str, list[dict]]:
    """FGADR's folder of pictures; the grade is the number of dark spots."""
    (folder / "Original_Images").mkdir(exist_ok=True)
    sections: dict[str, list[dict]] = {name: [] for name in SECTIONS}
    for section, count in (("training", 10), ("validation", 5), ("test", 5)):
        for index in range(count):
            path = f"Original_Images/{section}_{index}.png"
            _fundus(index % 5, index).save(folder / path)
            sections[section].append({"image": path, "label": index % 5, "patient": f"{section}{index}"})
    return sections


def _chests(folder: Path) -> dict[str, list[dict]]:
    """CheXpert's folders of patients; a finding is a bright patch in a place of its own, one in ten is uncertain."""
    rng = np.random.default_rng(0)
    sections: dict[str, list[dict]] = {}
    for section, count in _PICTURES.items():
        sections[section] = []
        for index in range(count):
            present = np.array([(index >> bit) & 1 for bit in range(FINDINGS)]) ^ (index % 2)
            pixels = _projection(float(index))
            for finding in np.flatnonzero(present):
                pixels[10 + 12 * finding : 18 + 12 * finding, 10:30] += 0.5
            label = [int(value) if section != "training" or rng.random() > 0.1 else -1 for value in present]
            path = Path(section) / f"patient{index:05d}" / "study1" / "view1_frontal.jpg"
            (folder / path.parent).mkdir(parents=True, exist_ok=True)
            _grey(pixels).save(folder / path)
            sections[section].append({"image": str(path), "label": label, "patient": f"{section}{index}"})
    return sections


def _brain_slices() -> np.ndarray:
    """(25, 128, 128) of the MR scan with a tumour, head to foot."""
    (stack,) = (item for item in iter_stacks(DATA / "brain_mr_tumour" / "t1_gd.nrrd") if isinstance(item, Stack))
    return np.stack([np.asarray(stack.read_frame(index), np.float32)[::2, ::2] for index in range(stack.n_slices)])


def _projection(shift: float) -> np.ndarray:
    """(96, 78) mean of the chest CT from front to back, in [0, 1] and moved a little."""
    volume = np.asarray(nib.load(DATA / "chest_ct" / "ct.nii.gz").dataobj[::3, ::3, ::2], np.float32)
    picture = np.clip(volume.mean(1).T[::-1] + 900, 0, 1000) / 1000
    return np.roll(picture, int(shift), axis=1)


def _grey(pixels: np.ndarray) -> Image.Image:
    low, high = float(pixels.min()), float(pixels.max())
    return Image.fromarray(np.uint8((pixels - low) / (high - low) * 255))


def _fundus(grade: int, seed: int) -> Image.Image:
    """A disc in red with as many dark spots as twice the grade."""
    picture = Image.new("RGB", (120, 110))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((10, 5, 110, 105), fill=(200, 90, 40))
    for x, y in np.random.default_rng(seed).integers(30, 80, (2 * grade, 2)):
        draw.ellipse((int(x), int(y), int(x) + 6, int(y) + 6), fill=(90, 10, 10))
    return picture
