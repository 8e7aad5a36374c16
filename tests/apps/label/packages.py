"""Bundles as their users make them: a short training through ``train.json`` and ``demo.json``, then ``package``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lvm_med_monai.bundles.package import package
from tests.bundles.conftest import samples_of
from tests.bundles.harness import succeed

ROOT = Path(__file__).resolve().parents[3]
SERVED = ("_segmentation", "_classification", "_detection", "_deepgrow_annotation", "_embedding")
BUNDLES = sorted(path.name for path in (ROOT / "bundles").iterdir() if path.name.endswith(SERVED))
SCANNED = [name for name in BUNDLES if name.endswith(("_ct_segmentation", "_mri_segmentation"))]
"""Segmenters of volumes; the others are trained on pictures."""
IN_MR = ("brain_tumor_mri_segmentation", "prostate_mri_segmentation")
"""Segmenters whose samples are MR; the others of volumes are trained on CT."""


def settings_of(name: str) -> dict[str, Any]:
    """Settings after which a mask holds more than background, in 2 to 30 seconds: no weight is set by hand."""
    short = (name in SCANNED and name not in IN_MR) or not name.endswith("_segmentation")
    epochs = 20 if short else 40
    rate = 0.01 if name.endswith("_annotation") else 0.003
    # MR: the best of five weights, as a small target may be lost again by the last
    interval = 8 if name in IN_MR else epochs
    return {"epochs": epochs, "val_interval": interval, "learning_rate": rate, "device": "cpu"}


def trained_package(name: str, out: Path, scratch: Path) -> Path:
    """Train a bundle of the repository on its samples at the sizes of ``demo.json``; package what it learnt."""
    bundle = ROOT / "bundles" / name
    data = samples_of(bundle).write(name, scratch / "data")
    run = scratch / "run"
    succeed(bundle, ["train.json", "demo.json"], {**settings_of(name), "dataset_dir": data, "run_dir": run}, scratch)
    return package(bundle, out, run / "model.pt", ["demo.json"])
