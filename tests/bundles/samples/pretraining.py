"""Slices for the pretraining bundles, extracted from the demo's scans."""

from __future__ import annotations

from pathlib import Path

from lvm_med_monai.slices import SlicePolicy, Source, extract

DATA = Path(__file__).resolve().parents[3] / "demo_data"


TUMOUR = Source(DATA / "brain_mr_tumour" / "t1_gd.nrrd", dataset="brain_mr_tumour", modality="MR", split="held_out")
FEW = [Source(DATA / "brain_mr_dicom", dataset="brain_mr_dicom", split="train"), TUMOUR]
PROBED = [
    Source(DATA / "abdomen_ct" / "ct.nii.gz", dataset="abdomen_ct", modality="CT", split="train"),
    Source(DATA / "abdomen_ct_dicom" / "series", dataset="abdomen_ct_dicom", split="held_out"),
    TUMOUR,
]
"""Graph matching wants more: batches of 64, and the probes of its ``demo.json`` name these held-out scans."""


def write(bundle: str, folder: Path) -> Path:
    """Training and held-out slices; they stand in for chest X-rays too, of which the demo's data have none."""
    sources = PROBED if bundle == "lvm_med_pretraining" else FEW
    extract(sources, folder / "slices", policy=SlicePolicy(every_mm=0), key_file=folder / "key")
    return folder / "slices"


def scans(bundle: str, folder: Path) -> Path:
    """Slices to infer on, in the form that training takes."""
    return write(bundle, folder)
