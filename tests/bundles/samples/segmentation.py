"""Small real images and masks for every segmentation bundle, in the layout in which its data set stores them."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import nibabel as nib
import numpy as np
from monai.transforms import LoadImage
from PIL import Image
from scipy import ndimage

from lvm_med_monai.slices import SliceReader

DATA = Path(__file__).resolve().parents[3] / "demo_data"
SECTIONS = ("training", "validation", "test")
HEART = (205, 420, 500, 550, 600, 820, 850)
"""Values of MM-WHS's structures; the demo's heart is cut into as many parts."""


def write(bundle: str, folder: Path) -> Path:
    """Write images, masks and ``dataset.json`` of a bundle; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    make, count = WRITERS[bundle], {"training": 4, "validation": 2, "test": 2}
    sections = {
        section: [make(folder, f"{section}_{index}", 7 * place + index) for index in range(count[section])]
        for place, section in enumerate(SECTIONS)
    }
    (folder / "dataset.json").write_text(json.dumps(sections))
    return folder


def scans(bundle: str, folder: Path) -> Path:
    """Write two inputs of a bundle for inference, nothing else; return the folder."""
    scratch = folder.with_name(f"{folder.name}_source")
    folder.mkdir(parents=True, exist_ok=True)
    scratch.mkdir()
    for index in range(2):
        image = WRITERS[bundle](scratch, f"scan_{index}", 30 + index)["image"]
        path = scratch / (image[0] if isinstance(image, list) else image)
        path.rename(folder / path.name)
    return folder


@lru_cache(maxsize=8)
def load(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Voxels (W, H, D) and affine of a file of the demo."""
    image = LoadImage(SliceReader(), image_only=True)(path)
    return image.numpy(), np.asarray(image.affine)


def micrograph(index: int, width: int = 90, height: int = 76) -> tuple[np.ndarray, np.ndarray]:
    """A tile of the fluorescence micrograph as (H, W) in [0, 1], and which pixels are nuclei."""
    top, left = 37 * index % (512 - height), 61 * index % (512 - width)
    cut = np.s_[top : top + height, left : left + width]
    grey = np.asarray(Image.open(DATA / "cell_nuclei" / "image.tif"), float)[cut]
    nuclei = np.asarray(Image.open(DATA / "cell_nuclei" / "instances.tif"))[cut] > 0
    return grey / grey.max(), nuclei


def _colour(grey: np.ndarray) -> Image.Image:
    return Image.fromarray((np.stack([grey, grey**2, 1 - grey], -1) * 255).astype(np.uint8))


def _mask(mask: np.ndarray) -> Image.Image:
    return Image.fromarray((mask * 255).astype(np.uint8))


def skin(folder: Path, name: str, index: int) -> dict:
    grey, nuclei = micrograph(index)
    _colour(grey).save(folder / f"{name}.jpg")
    _mask(nuclei).save(folder / f"{name}_segmentation.png")
    return {"image": f"{name}.jpg", "label": f"{name}_segmentation.png"}


def polyp(folder: Path, name: str, index: int) -> dict:
    """Masks are lossy and in colour, as Kvasir-SEG has them."""
    for part in ("images", "masks"):
        (folder / part).mkdir(exist_ok=True)
    grey, nuclei = micrograph(index, 81, 65)
    _colour(grey).save(folder / "images" / f"{name}.jpg")
    _mask(nuclei).convert("RGB").save(folder / "masks" / f"{name}.jpg")
    return {"image": f"images/{name}.jpg", "label": f"masks/{name}.jpg"}


def fundus(folder: Path, name: str, index: int) -> dict:
    grey, nuclei = micrograph(index, 70, 72)
    _colour(grey).save(folder / f"{name}.tif")
    _mask(nuclei).save(folder / f"{name}_manual1.gif")
    return {"image": f"{name}.tif", "label": f"{name}_manual1.gif"}


def breast(folder: Path, name: str, index: int) -> dict:
    """The lesions of a picture are divided over two masks, one of which is bilevel."""
    grey, nuclei = micrograph(index)
    left = np.arange(nuclei.shape[1]) < 40
    Image.fromarray((grey * 255).astype(np.uint8)).save(folder / f"{name}.png")
    Image.fromarray(nuclei & left).save(folder / f"{name}_mask.png")
    _mask(nuclei & ~left).save(folder / f"{name}_mask_1.png")
    return {"image": f"{name}.png", "label": [f"{name}_mask.png", f"{name}_mask_1.png"]}


def vessels(folder: Path, name: str, index: int) -> dict:
    grey, nuclei = micrograph(index, 64, 64)
    Image.fromarray(((1 - grey) * 255).astype(np.uint8)).save(folder / f"{name}.png")
    _mask(nuclei).save(folder / f"{name}_mask.png")
    return {"image": f"{name}.png", "label": f"{name}_mask.png"}


def chest(folder: Path, name: str, index: int) -> dict:
    """An axial slice of the chest CT as a 16-bit picture, with a mask each for heart and lungs."""
    scan, _ = load(DATA / "chest_ct" / "ct.nii.gz")
    heart, _ = load(DATA / "chest_ct" / "heart.nii.gz")
    held = np.flatnonzero(heart.any((0, 1)))
    place = held[len(held) // 4 + index % (len(held) // 2)]
    hounsfield, masks = scan[::2, ::2, place].T, [heart[::2, ::2, place].T > 0]
    air = hounsfield < -600
    areas, _ = ndimage.label(air)
    air &= ~np.isin(areas, [*areas[0], *areas[-1], *areas[:, 0], *areas[:, -1]])
    left = np.arange(air.shape[1]) < air.shape[1] // 2
    masks += [air & left, air & ~left]
    stored = np.clip(hounsfield + 1024, 0, 4095).astype(np.uint16)
    Image.fromarray(stored).save(folder / f"{name}.png")
    labels = []
    for structure, mask in zip(("heart", "left lung", "right lung"), masks, strict=True):
        (folder / "masks" / structure).mkdir(parents=True, exist_ok=True)
        labels.append(f"masks/{structure}/{name}.gif")
        _mask(mask).save(folder / labels[-1])
    return {"image": f"{name}.png", "label": labels}


def _volume(
    image: Path, label: Path, values: Callable[[np.ndarray], np.ndarray], step: tuple[int, int, int]
) -> Callable[[Path, str, int], dict]:
    """Writer of a scan, thinned out, cut to the slices around its target, starting further on for each index."""

    def make(folder: Path, name: str, index: int) -> dict:
        (voxels, affine), (mask, _) = load(image), load(label)
        held = np.flatnonzero(mask.any((0, 1)))
        start = max(0, held[0] - 2) + index % 4
        cut = (slice(None, None, step[0]), slice(None, None, step[1]), slice(start, held[-1] + 3, step[2]))
        placed = affine @ np.diag([*step, 1])
        placed[:3, 3] = (affine @ [0, 0, start, 1])[:3]
        nib.save(nib.Nifti1Image(voxels[cut], placed), folder / f"{name}.nii.gz")
        nib.save(nib.Nifti1Image(values(mask[cut]).astype(np.int16), placed), folder / f"{name}_seg.nii.gz")
        return {"image": f"{name}.nii.gz", "label": f"{name}_seg.nii.gz"}

    return make


def _parts_of_heart(mask: np.ndarray) -> np.ndarray:
    rows = np.linspace(0, 6.99, mask.shape[0]).astype(int)
    return np.where(mask > 0, np.array(HEART)[np.roll(rows, 1)][:, None, None], 0)


def _surroundings(mask: np.ndarray) -> np.ndarray:
    """The lesion, a hundredth of a slice, with 15 mm around it: large enough for a training of seconds."""
    disc = np.hypot(*np.mgrid[-5:6, -5:6]) <= 5
    return ndimage.binary_dilation(mask > 0, disc[:, :, None])


def tumour(folder: Path, name: str, index: int) -> dict:
    """Four sequences of one patient, of which a bundle takes the first; labels 1, 2 and 4."""
    entry = _MR(folder, name, index)
    image = nib.load(folder / entry["image"])
    images = [f"{name}_{sequence}.nii.gz" for sequence in ("flair", "t1", "t1ce", "t2")]
    for path in images:
        nib.save(image, folder / path)
    return {"image": images, "label": entry["label"]}


def _mixed(mask: np.ndarray) -> np.ndarray:
    return np.where(_surroundings(mask), np.array([1, 2, 4])[np.arange(mask.shape[0]) % 3][:, None, None], 0)


_ABDOMEN = _volume(DATA / "abdomen_ct" / "ct.nii.gz", DATA / "abdomen_ct" / "organs.nii.gz", lambda x: x, (2, 2, 8))
_CHEST = _volume(DATA / "chest_ct" / "ct.nii.gz", DATA / "chest_ct" / "heart.nii.gz", _parts_of_heart, (4, 4, 8))
_BRAIN = (DATA / "brain_mr_tumour" / "t1_gd.nrrd", DATA / "brain_mr_tumour" / "tumour.nrrd")
_MR = _volume(*_BRAIN, _mixed, (4, 4, 1))
_GLAND = _volume(*_BRAIN, _surroundings, (4, 4, 1))

WRITERS: dict[str, Callable[[Path, str, int], dict]] = {
    "abdominal_organ_ct_segmentation": _ABDOMEN,
    "brain_tumor_mri_segmentation": tumour,
    "breast_lesion_ultrasound_segmentation": breast,
    "colon_polyp_endoscopy_segmentation": polyp,
    "coronary_stenosis_angiography_segmentation": vessels,
    "coronary_vessel_angiography_segmentation": vessels,
    "lung_heart_xray_segmentation": chest,
    "prostate_mri_segmentation": _GLAND,
    "retinal_vessel_fundus_segmentation": fundus,
    "skin_lesion_dermoscopy_segmentation": skin,
    "whole_heart_ct_segmentation": _CHEST,
    "whole_heart_mri_segmentation": _CHEST,
}
