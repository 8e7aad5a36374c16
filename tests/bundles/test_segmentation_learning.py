"""Segmentation bundles learn on real pixels, through their own configurations, and are better than all background.

The abdominal scans are two patients' without and with contrast medium (aorta of 42 and of 177 HU), so that one scan
teaches little of the other; the tumour is tested in the middle of a lesion that is trained on above and below.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow

from tests.bundles.samples.segmentation import DATA, load

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@dataclass(frozen=True)
class Case:
    """A bundle, the data that it learns on, and what it must reach.

    Attributes:
        bundle: its name.
        split: writes a datalist into a folder; training and test share no slice.
        margin: by how much the mean Dice on test must exceed the baseline.
        options: overrides of the configuration.
    """

    bundle: str
    split: Callable[[Path], None]
    margin: float
    options: dict[str, Any] = field(default_factory=dict)


def another_scan(folder: Path) -> None:
    """Train on one patient's scan, test on another's, which is a DICOM series."""
    scan, test = DATA / "abdomen_ct", DATA / "abdomen_ct_dicom"
    training = [{"image": str(scan / "ct.nii.gz"), "label": str(scan / "organs.nii.gz")}]
    held_out = [{"image": str(test / "series"), "label": str(test / "organs.nii.gz")}]
    write(folder, training, held_out)


def end_of(image: Path, mask: Path, value: int, tested: float, gap: int) -> Callable[[Path], None]:
    """Hold out one end of the target with all that lies beyond it; ``gap`` slices between the parts are in neither."""

    def split(folder: Path) -> None:
        held = slices_with_target(mask)
        cut = int(held[0] + tested * len(held))
        parts = {"test": slice(0, cut), "training": slice(cut + gap, None)}
        save_parts(folder, image, mask, value, parts)

    return split


def middle_of(image: Path, mask: Path, value: int, gap: int) -> Callable[[Path], None]:
    """Hold out the middle slice of the target; ``gap`` slices on either side are in neither part."""

    def split(folder: Path) -> None:
        middle = int(np.median(slices_with_target(mask)))
        before, after = slice(0, middle - gap), slice(middle + gap + 1, None)
        parts = {"test": slice(middle, middle + 1), "training": before, "training_after": after}
        save_parts(folder, image, mask, value, parts)

    return split


def slices_with_target(mask: Path) -> np.ndarray:
    return np.flatnonzero((load(mask)[0] > 0).any((0, 1)))


def save_parts(folder: Path, image: Path, mask: Path, value: int, parts: dict[str, slice]) -> None:
    """Save parts of a volume, every other pixel of each slice; all but ``test`` are for training."""
    (voxels, affine), (target, _) = load(image), load(mask)
    for name, part in parts.items():
        placed = affine @ np.diag([2, 2, 1, 1])
        placed[:3, 3] = (affine @ [0, 0, part.start, 1])[:3]
        nib.save(nib.Nifti1Image(voxels[::2, ::2, part], placed), folder / f"{name}.nii.gz")
        labels = np.where(target[::2, ::2, part] > 0, value, 0).astype(np.int16)
        nib.save(nib.Nifti1Image(labels, placed), folder / f"{name}_label.nii.gz")
    pairs = {name: {"image": f"{name}.nii.gz", "label": f"{name}_label.nii.gz"} for name in parts}
    write(folder, [pair for name, pair in pairs.items() if name != "test"], [pairs["test"]])


def write(folder: Path, training: list[dict], test: list[dict]) -> None:
    sections = {"training": training, "validation": training, "test": test}
    (folder / "dataset.json").write_text(json.dumps(sections))


HEART = end_of(DATA / "chest_ct" / "ct.nii.gz", DATA / "chest_ct" / "heart.nii.gz", 420, tested=0.35, gap=2)
TUMOUR = middle_of(DATA / "brain_mr_tumour" / "t1_gd.nrrd", DATA / "brain_mr_tumour" / "tumour.nrrd", 1, gap=1)
SHORT = {
    "width": 16,
    "image_size": [64, 64],
    "pixel_mm": 6.0,
    "batch_size": 16,
    "slices_per_volume": 16,
    "warmup_steps": 5,
    "learning_rate": 0.003,
    "epochs": 1,
}
CASES = {
    "four organs in another patient's scan": Case(
        "abdominal_organ_ct_segmentation",
        another_scan,
        margin=0.2,
        options={**SHORT, "epoch_length": 200, "learning_rate": 0.005},
    ),
    "heart in the lower block of a chest scan": Case(
        "whole_heart_ct_segmentation",
        HEART,
        margin=0.4,
        options={
            **SHORT,
            "epoch_length": 60,
            "class_names": ["background", "heart"],
            "label_map::rules": [[0, 0, 0], [420, 420, 1]],
        },
    ),
    "tumour in the middle of a lesion": Case(
        "brain_tumor_mri_segmentation",
        TUMOUR,
        margin=0.3,
        options={**SHORT, "width": 32, "image_size": [96, 96], "pixel_mm": 2.5, "epoch_length": 80},
    ),
}


def run(case: Case, folder: Path, *overlays: str, **options: Any) -> None:
    """Run the bundle's ``train.json`` with ``demo.json`` and further overlays."""
    logging.getLogger("ignite").setLevel(logging.WARNING)
    configs = ROOT / "bundles" / case.bundle / "configs"
    workflow = ConfigWorkflow(
        config_file=[str(configs / name) for name in ["train.json", "demo.json", *overlays]],
        meta_file=str(configs / "metadata.json"),
        logging_file=False,
        workflow_type="train",
        **case.options,
        **options,
        dataset_dir=str(folder),
        run_dir=str(folder / "run"),
        cache_rate=1.0,
        val_interval=1000,
        progress=False,
    )
    workflow.initialize()
    workflow.run()


def dice_on_test(case: Case, folder: Path, weights: Path) -> float:
    """Mean Dice on the held-out part, by the bundle's own evaluation."""
    run(case, folder, "evaluate.json", ckpt_path=str(weights))
    with (folder / "run" / "eval" / "metrics.csv").open() as table:
        return float(dict(line.strip().split(",") for line in table)["val_mean_dice"])


def all_background(weights: Path) -> Path:
    """The same weights with a last layer that says background everywhere."""
    state = torch.load(weights, weights_only=True)
    state["head.0.weight"].zero_()
    state["head.0.bias"] = torch.eye(len(state["head.0.bias"]))[0]
    torch.save(state, weights.with_name("background.pt"))
    return weights.with_name("background.pt")


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_short_training_beats_all_background(case, tmp_path):
    case.split(tmp_path)
    run(case, tmp_path)
    weights = tmp_path / "run" / "model_final.pt"
    baseline = dice_on_test(case, tmp_path, all_background(weights))
    assert dice_on_test(case, tmp_path, weights) > baseline + case.margin
