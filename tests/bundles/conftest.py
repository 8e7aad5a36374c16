"""Small real inputs for bundles: slices extracted from the demo's scans, and the datalist of its segmentation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lvm_med_monai.slices import Source, extract

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "demo_data"
BUNDLES = sorted(path for path in (ROOT / "bundles").iterdir() if (path / "configs").is_dir())
PRETRAINING = ROOT / "bundles" / "lvm_med_pretraining"
SEGMENTATION = ROOT / "bundles" / "abdominal_organ_ct_segmentation"


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


def configs(bundle: Path, *names: str) -> list[str]:
    """Paths of configuration files, as MONAI takes them."""
    return [str(bundle / "configs" / name) for name in names]
