"""Small data for the detection bundles: tiles of a micrograph of cell nuclei, whose boxes come from labelled nuclei."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image
from scipy.ndimage import find_objects

from lvm_med_monai.slices import SlicePolicy, Source, extract, read_manifest

DATA = Path(__file__).resolve().parents[3] / "demo_data" / "cell_nuclei"
QUADRANTS = {"training": ((0, 0), (0, 256)), "validation": ((256, 0),), "test": ((256, 256),)}
"""Top left corners, row and column, of the quarters of 256 x 256 pixels."""
SMALLEST = 4
"""Pixels: a nucleus that a tile cuts down to less is no box."""
_LAYOUTS = {"chest": "train/{}.png", "colon": "images/{}.jpg", "coronary": "stenosis/{}.png"}


def write(bundle: str, folder: Path) -> Path:
    """Tiles of different sizes and ``dataset.json`` with three sections; returns the folder.

    Chest radiographs have findings of 14 classes, of which five are shown here, and a tile without any; polyps are in
    colour.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kind = bundle.split("_")[0]
    sections = {}
    for section in QUADRANTS:
        sizes = (128, 96, 112) if section == "training" else (128, 96)
        tiles = [tile for size in sizes for tile in tiles_of(section, size, 256 - size)[:3]]
        entries = []
        for index, (pixels, boxes) in enumerate(tiles[:8]):
            path = _LAYOUTS[kind].format(f"{section}_{index}")
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            if kind == "chest" and index == 1:
                pixels, boxes = np.zeros_like(pixels), boxes[:0]
            _picture(pixels, kind).save(folder / path)
            labels = [3 * (int(x1 + y1) % 5) if kind == "chest" else 0 for x1, y1, _, _ in boxes]
            entries.append({"image": path, "box": boxes.tolist(), "label": labels})
        sections[section] = entries
    (folder / "dataset.json").write_text(json.dumps(sections))
    return folder


def as_slices(data: Path, folder: Path) -> Path:
    """The pictures that `write` left, as extracted slices with a datalist of their own; returns its folder."""
    sections = json.loads((data / "dataset.json").read_text())
    entries = {entry["image"]: (section, entry) for section in sections for entry in sections[section]}
    sources = [Source(data / image, dataset=image, split=section) for image, (section, _) in entries.items()]
    policy = SlicePolicy(min_foreground=0, min_std=0)
    extract(sources, folder / "slices", policy, folder.with_name(f"{folder.name}_key"), progress=False)
    for row in read_manifest(folder / "slices").to_pylist():
        entries[row["dataset"]][1]["image"] = f"slices/{row['slice_id']}"
    (folder / "dataset.json").write_text(json.dumps(sections))
    return folder


def scans(bundle: str, folder: Path) -> Path:
    """Inputs for inference: a picture, and a NIfTI file with a last axis of one slice, of another size."""
    folder.mkdir(parents=True, exist_ok=True)
    (pixels, _), (others, _) = tiles_of("test", 96, 160)[:2]
    _picture(pixels[:80], bundle.split("_")[0]).save(folder / "picture.png")
    nib.save(nib.Nifti1Image(others.T[:, :, None].astype(np.float32), np.eye(4)), folder / "slice.nii.gz")
    return folder


def tiles_of(section: str, size: int, stride: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Tiles (size, size) in [0, 255] of the quarters of a section, with boxes (N, 4) of their nuclei."""
    image = np.asarray(Image.open(DATA / "image.tif"), np.float32)
    instances = np.asarray(Image.open(DATA / "instances.tif")).astype(int)
    image = np.clip(image / np.percentile(image, 99.5), 0, 1) * 255
    tiles = []
    for top, left in QUADRANTS[section]:
        for row in range(top, top + 256 - size + 1, stride):
            for column in range(left, left + 256 - size + 1, stride):
                cut = np.s_[row : row + size, column : column + size]
                tiles.append((image[cut], _boxes(instances[cut])))
    return tiles


def _boxes(instances: np.ndarray) -> np.ndarray:
    """x1, y1, x2, y2 of every nucleus."""
    places = [place for place in find_objects(instances) if place is not None]
    boxes = np.array([[x.start, y.start, x.stop, y.stop] for y, x in places], float).reshape(-1, 4)
    return boxes[((boxes[:, 2:] - boxes[:, :2]) >= SMALLEST).all(1)]


def _picture(pixels: np.ndarray, kind: str) -> Image.Image:
    grey = pixels.astype(np.uint8)
    return Image.fromarray(np.stack([grey, grey // 2, grey // 3], -1) if kind == "colon" else grey)
