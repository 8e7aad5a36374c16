"""Bundles as their users make them: a short training through ``train.json`` and ``demo.json``, then ``package``."""

from __future__ import annotations

from pathlib import Path

from lvm_med_monai.bundles.package import package
from tests.bundles.conftest import samples_of
from tests.bundles.harness import succeed

ROOT = Path(__file__).resolve().parents[3]
SERVED = ("_segmentation", "_classification", "_detection", "_deepgrow_annotation", "_embedding")
BUNDLES = sorted(path.name for path in (ROOT / "bundles").iterdir() if path.name.endswith(SERVED))
SCANNED = [name for name in BUNDLES if name.endswith(("_ct_segmentation", "_mri_segmentation"))]
"""Segmenters of volumes; the others are trained on pictures."""
TRAINING = {"val_interval": 20, "learning_rate": 0.003, "device": "cpu"}
"""2 to 12 seconds each, after which masks hold more than background: no weight is set by hand."""


def trained_package(name: str, out: Path, scratch: Path) -> Path:
    """Train a bundle of the repository on its samples at the sizes of ``demo.json``; package what it learnt."""
    bundle = ROOT / "bundles" / name
    settings = {**TRAINING, "epochs": 40 if name.endswith("_segmentation") and name not in SCANNED else 20}
    if name.endswith("_annotation"):
        settings["learning_rate"] = 0.01
    data = samples_of(bundle).write(name, scratch / "data")
    run = scratch / "run"
    succeed(bundle, ["train.json", "demo.json"], {**settings, "dataset_dir": data, "run_dir": run}, scratch)
    return package(bundle, out, run / "model.pt", ["demo.json"])
