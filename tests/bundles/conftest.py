"""The bundles of the collection, small inputs for each, and one short training of each that tests share."""

from __future__ import annotations

import importlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from lvm_med_monai.slices import Source, extract
from tests.bundles.harness import succeed

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "demo_data"
BUNDLES = sorted(path.parent.parent for path in (ROOT / "bundles").glob("*/configs/metadata.json"))
PRETRAINING = ROOT / "bundles" / "lvm_med_pretraining"
SEGMENTATION = ROOT / "bundles" / "abdominal_organ_ct_segmentation"
FAMILIES = ("segmentation", "classification", "detection", "deepgrow", "pretraining", "embedding")
"""Kinds of bundle; the inputs of each are made by the module of that name in ``tests/bundles/samples``."""
SHORT = {"epochs": 2, "epoch_length": 2}


def family_of(bundle: Path) -> str:
    """Kind of a bundle, by its name."""
    (family,) = (family for family in FAMILIES if f"_{family}" in bundle.name)
    return family


def samples_of(bundle: Path):
    """Module whose ``write`` and ``scans`` make inputs for the bundle."""
    return importlib.import_module(f"tests.bundles.samples.{family_of(bundle)}")


def representatives() -> list[Path]:
    """One bundle of each kind that was rendered from a recipe, and every bundle written by hand."""
    chosen, seen = [], set()
    for bundle in BUNDLES:
        rendered = (ROOT / "recipes" / f"{bundle.name}.json").is_file()
        fragments = (
            tuple(json.loads((ROOT / "recipes" / f"{bundle.name}.json").read_text())["fragments"])
            if rendered
            else bundle
        )
        if fragments not in seen:
            seen.add(fragments)
            chosen.append(bundle)
    return chosen


@dataclass(frozen=True)
class Trained:
    """A bundle copied alone into a folder and trained there for two epochs.

    Attributes:
        bundle: the copy.
        data: its datalist's folder.
        run: what training wrote.
        folder: working folder of every command.
        said: what training said.
    """

    bundle: Path
    data: Path
    run: Path
    folder: Path
    said: str

    @property
    def options(self) -> dict[str, object]:
        """Overrides of training and evaluation."""
        return {**SHORT, "dataset_dir": self.data, "run_dir": self.run}


def train(original: Path, folder: Path) -> Trained:
    """Copy a bundle to a folder of its own, make its inputs, and train it with ``demo.json``."""
    bundle = folder / "elsewhere" / original.name
    shutil.copytree(original, bundle, ignore=shutil.ignore_patterns("models", "runs", "eval"))
    data = samples_of(original).write(original.name, folder / "data")
    run = folder / "run"
    options = {**SHORT, "dataset_dir": data, "run_dir": run}
    said = succeed(bundle, ["train.json", "demo.json"], options, folder)
    return Trained(bundle, data, run, folder, said)


@pytest.fixture(scope="session")
def slices(tmp_path_factory) -> Path:
    """19 training slices of a DICOM series and 25 held-out slices of an NRRD volume."""
    root = tmp_path_factory.mktemp("slices")
    sources = [
        Source(DATA / "brain_mr_dicom", dataset="brain_mr_dicom", split="train"),
        Source(DATA / "brain_mr_tumour" / "t1_gd.nrrd", dataset="brain_mr_tumour", modality="MR", split="held_out"),
    ]
    extract(sources, root / "out", key_file=root / "key")
    return root / "out"


@pytest.fixture(scope="session")
def datalist(tmp_path_factory) -> Path:
    """Folder with the datalist of the demo's two abdominal scans."""
    root = tmp_path_factory.mktemp("data")
    scan, test = DATA / "abdomen_ct", DATA / "abdomen_ct_dicom"
    volume = {"image": str(scan / "ct.nii.gz"), "label": str(scan / "organs.nii.gz")}
    series = {"image": str(test / "series"), "label": str(test / "organs.nii.gz")}
    (root / "dataset.json").write_text(
        json.dumps({"training": [volume] * 2, "validation": [volume] * 2, "test": [series]})
    )
    return root
