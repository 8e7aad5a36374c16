"""Slices for the pretraining bundles, extracted from the demo's scans."""

from __future__ import annotations

from pathlib import Path

from lvm_med_monai.slices import Source, extract

DATA = Path(__file__).resolve().parents[3] / "demo_data"


def write(bundle: str, folder: Path) -> Path:
    """19 training slices of a DICOM series and 25 held-out slices of an NRRD volume; they serve every bundle.

    They stand in for chest X-rays too, of which the demo's data have none.
    """
    sources = [
        Source(DATA / "brain_mr_dicom", dataset="brain_mr_dicom", split="train"),
        Source(DATA / "brain_mr_tumour" / "t1_gd.nrrd", dataset="brain_mr_tumour", modality="MR", split="held_out"),
    ]
    extract(sources, folder / "slices", key_file=folder / "key")
    return folder / "slices"


def scans(bundle: str, folder: Path) -> Path:
    """Slices to infer on, in the form that training takes."""
    return write(bundle, folder)
