"""What the demonstration compares, and how long it trains."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PRETRAINING = ROOT / "bundles" / "lvm_med_pretraining"
SEGMENTATION = ROOT / "bundles" / "abdominal_organ_ct_segmentation"
DATA = ROOT / "demo_data"

ORGANS = ("liver", "spleen", "stomach", "aorta")

FINE_TUNING = {
    "depth": "18",
    "width": "32",
    "pixel_mm": "4.0",
    "image_size": "[96,96]",
    "epochs": "3",
    "epoch_length": "25",
    "warmup_steps": "10",
    "learning_rate": "0.003",
    "batch_size": "16",
    "val_section": "training",
    "val_interval": "1000",
    "progress": "False",
}
"""Sizes of the segmentation: the network is that of the pretraining's ``demo.json``. There is no third scan to choose
weights by, so nothing is validated while it trains, and the last weights count."""

PLANES = ["axial", "coronal", "sagittal"]
"""Planes of the two nearly isotropic volumes: three times the slices from the same scans."""

SOURCES: list[dict[str, Any]] = [
    {"dataset": "chest_ct", "path": "chest_ct/ct.nii.gz", "modality": "CT", "planes": PLANES, "split": "train"},
    {"dataset": "abdomen_ct", "path": "abdomen_ct/ct.nii.gz", "modality": "CT", "planes": PLANES, "split": "train"},
    {"dataset": "brain_mr_dicom", "path": "brain_mr_dicom", "split": "train"},
    {"dataset": "cell_nuclei", "path": "cell_nuclei/image.tif", "tile": 170, "split": "train"},
    {"dataset": "abdomen_ct_dicom", "path": "abdomen_ct_dicom/series", "split": "held_out"},
    {"dataset": "brain_mr_tumour", "path": "brain_mr_tumour/t1_gd.nrrd", "modality": "MR", "split": "held_out"},
]
"""Scans of ``demo_data``. Two are held out of pretraining: the DICOM scan on which segmentation is tested, and the
tumour scan, because the matching protocol needs at least 16 unseen slices 10 mm apart."""


@dataclass(frozen=True)
class Arm:
    """One way to start the segmentation network.

    Attributes:
        name: key in ``metrics.json``.
        title: how the report calls it.
        overlays: configurations of the pretraining bundle on top of ``train.json`` and ``demo.json``.
        options: further command-line overrides.
        pretrained: whether it pretrains at all.
    """

    name: str
    title: str
    overlays: tuple[str, ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    pretrained: bool = True


GRAPH_MATCHING = Arm("graph_matching", "graph matching (stable preset)")
SIMCLR = Arm("simclr", "SimCLR", overlays=("simclr.json",))
SCRATCH = Arm("scratch", "from scratch", pretrained=False)
PAPER = Arm("paper", "graph matching (paper preset)", options=(("preset", "paper"),))
FIRST_ORDER = Arm("first_order", "graph matching, first order only", options=(("recipe::second_order", "False"),))


@dataclass(frozen=True)
class Plan:
    """Size of a demonstration.

    Attributes:
        arms: what is compared.
        pretraining_seeds: runs of pretraining an arm.
        fine_tuning_seeds: runs of fine-tuning an arm; run ``i`` starts from pretraining run ``i`` modulo their number.
        epochs: epochs of 25 steps of pretraining.
    """

    arms: tuple[Arm, ...] = (GRAPH_MATCHING, SIMCLR, SCRATCH)
    pretraining_seeds: int = 1
    fine_tuning_seeds: int = 2
    epochs: int = 24


SHORT = Plan()
FULL = Plan(arms=(GRAPH_MATCHING, SIMCLR, PAPER, FIRST_ORDER, SCRATCH), pretraining_seeds=3, fine_tuning_seeds=3)
