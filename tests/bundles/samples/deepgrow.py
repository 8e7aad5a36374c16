"""Small real inputs for the promptable bundle: nuclei of a micrograph, and a tumour in brain MR."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image

from lvm_med_monai.slices import SliceReader

DATA = Path(__file__).resolve().parents[3] / "demo_data"
CROP = 64
_LEAST_PIXELS = 60


def write(bundle: str, folder: Path) -> Path:
    """Eight crops of nuclei to train on, two others and the tumour to validate and test on."""
    folder.mkdir(parents=True, exist_ok=True)
    crops = [nucleus(folder, f"nucleus{index}", index) for index in range(12)]
    sections = {
        "training": crops[:8],
        "validation": [*crops[8:10], tumour(folder, "tumour_a", 0)],
        "test": [*crops[10:12], tumour(folder, "tumour_b", 1)],
    }
    (folder / "dataset.json").write_text(json.dumps(sections))
    return folder


def scans(bundle: str, folder: Path) -> Path:
    """A picture with a box, a volume with a click and a background click, and a picture without prompts."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(("boxed", "bare")):
        nucleus(folder, name, index)
        (folder / f"{name}_mask.png").unlink()
    tumour(folder, "clicked", 0)
    (folder / "clicked_seg.nii.gz").unlink()
    prompts = {
        "boxed.png": {"box": [20, 20, 44, 44]},
        "clicked.nii.gz": {"foreground": [[30, 32, 3]], "background": [[2, 2, 3]], "roi": []},
    }
    (folder / "prompts.json").write_text(json.dumps(prompts))
    return folder


def nuclei() -> tuple[np.ndarray, np.ndarray]:
    """The micrograph as 8-bit rows, and the number of the nucleus at each pixel."""
    image, instances = (_read(DATA / "cell_nuclei" / f"{name}.tif")[..., 0].T for name in ("image", "instances"))
    low, high = np.percentile(image, [0.5, 99.5])
    return (np.clip((image - low) / (high - low), 0, 1) * 255).astype(np.uint8), instances.astype(int)


def nucleus(folder: Path, name: str, index: int) -> dict[str, str]:
    """A crop around one nucleus of some size, which the mask holds alone."""
    image, instances = nuclei()
    number = chosen_nuclei(instances)[index]
    rows, columns = np.nonzero(instances == number)
    top, left = (
        int(np.clip(centre - CROP // 2, 0, size - CROP))
        for centre, size in zip((rows.mean(), columns.mean()), image.shape, strict=True)
    )
    window = (slice(top, top + CROP), slice(left, left + CROP))
    Image.fromarray(image[window]).save(folder / f"{name}.png")
    Image.fromarray(np.where(instances[window] == number, 255, 0).astype(np.uint8)).save(folder / f"{name}_mask.png")
    return {"image": f"{name}.png", "label": f"{name}_mask.png"}


def chosen_nuclei(instances: np.ndarray) -> list[int]:
    """Numbers of the nuclei that are not too small, from top to bottom."""
    numbers, counts = np.unique(instances[instances > 0], return_counts=True)
    return [int(number) for number in numbers[counts >= _LEAST_PIXELS]]


def tumour(folder: Path, name: str, index: int) -> dict[str, str]:
    """Every fourth pixel of some slices with the tumour, as NIfTI."""
    image, mask = (_read(DATA / "brain_mr_tumour" / f"{part}.nrrd")[::4, ::4] for part in ("t1_gd", "tumour"))
    held = np.flatnonzero(mask.any((0, 1)))
    start = max(int(held[0]) - 1, 0) + index
    cut = slice(start, start + 8)
    affine = np.diag([-4.0, -4.0, 4.0, 1.0])
    nib.save(nib.Nifti1Image(image[..., cut].astype(np.float32), affine), folder / f"{name}.nii.gz")
    nib.save(nib.Nifti1Image((mask[..., cut] > 0).astype(np.uint8), affine), folder / f"{name}_seg.nii.gz")
    return {"image": f"{name}.nii.gz", "label": f"{name}_seg.nii.gz"}


def _read(path: Path) -> np.ndarray:
    reader = SliceReader()
    return reader.get_data(reader.read(path))[0]
