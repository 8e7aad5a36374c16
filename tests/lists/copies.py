"""Small copies of how public data sets lie on disk, with real pixels."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import itk
import nibabel
import numpy as np
import pydicom
from PIL import Image

DATA = Path(__file__).resolve().parents[2] / "demo_data"
EDGE = 48


@cache
def chest() -> tuple[np.ndarray, np.ndarray]:
    """(48, 48, 4) HU and mask of the heart, four slices of a real scan."""
    image, mask = (nibabel.load(DATA / "chest_ct" / name) for name in ("ct.nii.gz", "heart.nii.gz"))
    heart = np.flatnonzero(np.asanyarray(mask.dataobj).any(axis=(0, 1)))
    at = np.linspace(heart[0] + 2, heart[-1] - 2, 4).astype(int)
    thin = [np.ascontiguousarray(np.asanyarray(i.dataobj)[::3, ::3][:EDGE, :EDGE, at]) for i in (image, mask)]
    return thin[0].astype(np.int16), thin[1].astype(np.uint8)


@cache
def brain() -> tuple[np.ndarray, np.ndarray]:
    """(64, 64, 6) MR and mask of a tumour."""
    image, mask = (
        itk.array_from_image(itk.imread(DATA / "brain_mr_tumour" / n)) for n in ("t1_gd.nrrd", "tumour.nrrd")
    )
    at = np.flatnonzero(mask.any(axis=(1, 2)))[:6]
    return tuple(np.ascontiguousarray(np.moveaxis(a[at, ::4, ::4], 0, 2)).astype(np.int16) for a in (image, mask))


def picture(index: int) -> Image.Image:
    """48 x 48 colour picture of stained nuclei, a different one for each index."""
    cells = np.asarray(Image.open(DATA / "cell_nuclei" / "image.tif"))
    row, column = divmod(index, 10)
    patch = cells[row * EDGE : (row + 1) * EDGE, column * EDGE : (column + 1) * EDGE].astype(np.uint8)
    return Image.fromarray(np.stack([patch, 255 - patch, patch // 2], axis=2))


def save(image: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def nifti(pixels: np.ndarray, path: Path, kind: type = nibabel.Nifti1Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(kind(pixels, np.diag([4.5, 4.5, 6.0, 1.0])), path)


KVASIR = (
    *("dyed-lifted-polyps", "dyed-resection-margins", "esophagitis", "normal-cecum", "normal-pylorus"),
    *("normal-z-line", "polyps", "ulcerative-colitis"),
)


def class_folders(root: Path) -> None:
    for index in range(12):
        save(picture(index), root / KVASIR[index % 8] / f"0339a2f7-65bb-41fb-8650-{index:012x}.jpg")


def tcia(root: Path) -> None:
    for patient in (15, 16):
        for series in (1, 2):
            for number in range(3):
                file = pydicom.dcmread(DATA / "brain_mr_dicom" / f"brain_{2 + 3 * series + number:03d}.dcm")
                file.PatientID = f"OPC-{patient:05d}"
                file.StudyInstanceUID, file.SeriesInstanceUID = f"1.2.{patient}", f"1.2.{patient}.{series}"
                file.SOPInstanceUID = f"1.2.{patient}.{series}.{number}"
                place = root / f"OPC-{patient:05d}" / "12-15-2003-Head-99125" / f"{series}.000000-Axial-0{series}14"
                place.mkdir(parents=True, exist_ok=True)
                file.save_as(place / f"1-{number:02d}.dcm")
    (root / "LICENSE").write_text("terms of use")


def msd(root: Path) -> None:
    image, mask = chest()
    for number in (2, 10, 12):
        nifti(image + number, root / "imagesTr" / f"la_{number:03d}.nii.gz")
        nifti(mask, root / "labelsTr" / f"la_{number:03d}.nii.gz")
    nifti(image, root / "imagesTs" / "la_001.nii.gz")
    (root / "dataset.json").write_text("{}")


def luna(root: Path) -> None:
    for number in range(3):
        volume = itk.image_from_array(np.ascontiguousarray(np.moveaxis(chest()[0], 2, 0)) + np.int16(number))
        volume.SetSpacing((4.5, 4.5, 6.0))
        name = f"1.3.6.1.4.1.14519.5.2.1.6279.6001.10053048892668275276584521228{number}"
        (root / f"subset{number % 2}").mkdir(parents=True, exist_ok=True)
        itk.imwrite(volume, str(root / f"subset{number % 2}" / f"{name}.mhd"))
    (root / "annotations.csv").write_text("seriesuid,coordX\n")


def analyze(root: Path) -> None:
    for number in (8, 25):
        nifti(brain()[0] + np.int16(number), root / "Training" / f"HFH_{number:03d}.hdr", nibabel.Spm99AnalyzeImage)
        nifti(brain()[1], root / "Labels" / f"HFH_{number:03d}_Hipp_Labels.hdr", nibabel.Spm99AnalyzeImage)


def camelyon(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    for part, count in (("train", 9), ("valid", 3), ("test", 2)):
        with h5py.File(root / f"camelyonpatch_level_2_split_{part}_x.h5", "w") as file:
            file["x"] = np.stack([np.asarray(picture(index).resize((96, 96))) for index in range(count)])
        with h5py.File(root / f"camelyonpatch_level_2_split_{part}_y.h5", "w") as file:
            file["y"] = np.zeros((count, 1, 1, 1), dtype=np.uint8)


def coco(root: Path) -> None:
    for part in ("train", "val", "test"):
        images = [{"id": n, "file_name": f"{n}.png", "height": EDGE, "width": EDGE} for n in (1, 2, 3)]
        boxes = [{"id": n, "image_id": n, "category_id": 26, "bbox": [n, 4, 10, 20.5]} for n in (1, 2)]
        for image in images:
            save(picture(image["id"]), root / "stenosis" / part / "images" / image["file_name"])
        (root / "stenosis" / part / "annotations").mkdir()
        content = {"images": images, "annotations": boxes, "categories": [{"id": 26, "name": "stenosis"}]}
        (root / "stenosis" / part / "annotations" / f"{part}.json").write_text(json.dumps(content))


def brats(root: Path) -> None:
    image, mask = brain()
    for grade, case in (("HGG", "TCIA01_235_1"), ("HGG", "CBICA_ANZ_1"), ("LGG", "TCIA10_109_1")):
        name = f"Brats18_{case}"
        for shift, sequence in enumerate(("flair", "t1", "t1ce", "t2")):
            nifti(image + np.int16(shift), root / grade / name / f"{name}_{sequence}.nii.gz")
        nifti(mask, root / grade / name / f"{name}_seg.nii.gz")
    (root / "survival_data.csv").write_text("BraTS18ID,Age,Survival\n")


def masks(root: Path) -> None:
    for index in range(10):
        name = f"cju0qkwl35piu0993l0dewe{index:02d}.jpg"
        save(picture(index), root / "images" / name)
        save(picture(index).convert("L").point(lambda value: 255 * (value > 60)), root / "masks" / name)
    (root / "kavsir_bboxes.json").write_text("{}")


def box_table(root: Path) -> None:
    lines = ["image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max"]
    for index in range(10):
        name = f"{index:032x}"
        save(picture(index), root / "train" / f"{name}.png")
        box = "No finding,14,R1,,,," if index % 2 else f"Aortic enlargement,0,R1,1.5,2,{10 + index},20"
        lines.append(f"{name},{box}")
    (root / "train.csv").write_text("\n".join(lines) + "\n")
