"""Layouts of public data sets: a small copy of each, a card for it, and what both must give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lists.copies import (
    KVASIR,
    analyze,
    box_table,
    brats,
    camelyon,
    class_folders,
    coco,
    luna,
    masks,
    msd,
    tcia,
)


@dataclass(frozen=True)
class Expected:
    """What a copy of a layout holds."""

    samples: int
    patients: int
    slices: int
    labelled: str
    label: str | None = None
    entries: int | None = None


@dataclass(frozen=True)
class LayoutCase:
    """A layout: its builder, its card, and what follows from both.

    ``expected.label`` is a file to remove, ``real`` the card of the set whose layout it copies.
    """

    build: Callable[[Path], None]
    layout: dict[str, Any]
    expected: Expected
    dimensions: int = 2
    patient: str | None = None
    labels: dict[str, str] | None = None
    split: dict[str, Any] | None = None
    slices: dict[str, Any] | None = None
    real: str | None = None

    def card(self, name: str) -> dict[str, Any]:
        """The card as JSON holds it."""
        return card_of(
            name,
            layout=self.layout,
            dimensions=self.dimensions,
            patient={"pattern": self.patient, "space": None},
            labels=self.labels,
            split=self.split or {"rule": "none", "unit": "image", "parts": {}},
            slices=self.slices or {},
        )


def card_of(name: str, **fields: Any) -> dict[str, Any]:
    """A card with defaults in place of what is not given."""
    return {
        "schema_version": 1,
        "id": name,
        "title": name.replace("_", " "),
        "home_page": "https://example.org",
        "licence": {"name": None, "url": None, "note": None},
        "access": "open",
        "paper": None,
        "modalities": ["CT"],
        "anatomy": ["chest"],
        "dimensions": 2,
        "layout": layout_of("image_folders", files("**/*.png")),
        "patient": {"pattern": None, "space": None},
        "shares_patients_with": [],
        "labels": None,
        "slices": {},
        "split": {"rule": "none", "unit": "image", "parts": {}},
        "size": {"published": None, "unit": None},
        **fields,
    }


def layout_of(
    family: str, entries: list[dict[str, Any]], pair: str | None = None, label_from: str | None = None
) -> dict[str, Any]:
    return {"family": family, "files": entries, "pair": pair, "label_from": label_from}


def files(image: str, optional: str | None = None, **roles: str) -> list[dict[str, Any]]:
    """Entries of a layout: the required images, then other roles in order; those of ``optional`` are not required."""
    entries = [("image", image), *roles.items()]
    return [{"role": r, "glob": g, "required": r != optional, "note": None} for r, g in entries]


PARTS = {"train": "train", "validation": "val", "test": "test"}
SEEDED = {"rule": "seeded", "unit": "patient", "seed": 1}
LAYOUTS = {
    "class_folders": LayoutCase(
        class_folders,
        layout_of("image_folders", files("*/*.jpg"), label_from=r"^([^/]+)/"),
        Expected(12, 12, 12, "class", None),
        labels={name: name for name in KVASIR},
        real="kvasir",
    ),
    "tcia_dicom": LayoutCase(
        tcia,
        layout_of("dicom", files("*/*/*/*.dcm")),
        Expected(4, 2, 12, "none"),
        dimensions=3,
        patient=r"^([^/]+)/",
        split={**SEEDED, "parts": {"train": 0.5, "test": 0.5}},
        real="opc_radiomics",
    ),
    "msd_nifti": LayoutCase(
        msd,
        layout_of(
            "nifti",
            [
                *files("imagesTr/*.nii.gz", label="labelsTr/*.nii.gz", table="dataset.json"),
                {"role": "image", "glob": "imagesTs/*.nii.gz", "required": False},
            ],
            r"(la_[0-9]+)\.nii\.gz$",
        ),
        Expected(4, 4, 16, "mask", "labelsTr/la_010.nii.gz", entries=3),
        dimensions=3,
        patient=r"(la_[0-9]+)\.nii\.gz$",
        split={**SEEDED, "parts": {"train": 0.7, "test": 0.3}},
        slices={"modality": "MR", "every_mm": 0},
        real="msd_task02_heart",
    ),
    "luna_metaimage": LayoutCase(
        luna,
        layout_of("metaimage", files("subset*/*.mhd", table="annotations.csv")),
        Expected(3, 3, 12, "none", "subset0/1.3.6.1.4.1.14519.5.2.1.6279.6001.100530488926682752765845212280.raw"),
        dimensions=3,
        patient=r"([0-9.]+)\.mhd$",
        slices={"modality": "CT", "every_mm": 0},
        real="luna16",
    ),
    "analyze_pairs": LayoutCase(
        analyze,
        layout_of("analyze", files("Training/*.hdr", label="Labels/*.hdr"), r"(HFH_[0-9]+)"),
        Expected(2, 2, 12, "mask", "Training/HFH_008.img"),
        dimensions=3,
        patient=r"(HFH_[0-9]+)",
        slices={"modality": "MR", "every_mm": 0},
        real="hippseg2011",
    ),
    "camelyon_hdf5": LayoutCase(
        camelyon,
        layout_of("hdf5", files("*_x.h5", optional="label", label="*_y.h5"), r"split_([a-z]+)_[xy]\.h5$"),
        Expected(3, 3, 14, "mask", None),
        split={
            "rule": "official",
            "unit": "image",
            "parts": {"train": "*_train_x.h5", "validation": "*_valid_x.h5", "test": "*_test_x.h5"},
        },
        real="patchcamelyon",
    ),
    "coco_boxes": LayoutCase(
        coco,
        layout_of(
            "coco",
            files("stenosis/{train,val,test}/images/*.png", boxes="stenosis/{train,val,test}/annotations/*.json"),
        ),
        Expected(9, 9, 9, "box", "stenosis/val/annotations/val.json"),
        labels={"stenosis": "stenosis"},
        split={
            "rule": "official",
            "unit": "image",
            "parts": {part: f"stenosis/{folder}/**" for part, folder in PARTS.items()},
        },
        real="arcade_stenosis",
    ),
    "brats_cases": LayoutCase(
        brats,
        {
            **layout_of("case_folders", [], r"(Brats18_[A-Za-z0-9_]+)/"),
            "files": [
                *(
                    {"role": "image", "glob": f"*/*/*_{s}.nii.gz", "required": True}
                    for s in ("flair", "t1", "t1ce", "t2")
                ),
                {"role": "label", "glob": "*/*/*_seg.nii.gz", "required": True},
                {"role": "table", "glob": "survival_data.csv", "required": False},
            ],
        },
        Expected(3, 3, 72, "mask", "HGG/Brats18_CBICA_ANZ_1/Brats18_CBICA_ANZ_1_seg.nii.gz"),
        dimensions=3,
        patient=r"(Brats18_[A-Za-z0-9_]+)/",
        split={**SEEDED, "parts": {"train": 2 / 3, "test": 1 / 3}},
        slices={"modality": "MR", "every_mm": 0},
        real="brats2018",
    ),
    "image_mask_pairs": LayoutCase(
        masks,
        layout_of(
            "image_mask_pairs",
            files("images/*.jpg", label="masks/*.jpg", table="kavsir_bboxes.json", optional="table"),
            r"/([^/]+)\.jpg$",
        ),
        Expected(10, 10, 10, "mask", "masks/cju0qkwl35piu0993l0dewe03.jpg"),
        split={"rule": "seeded", "unit": "image", "seed": 1, "parts": {"train": 0.64, "validation": 0.16, "test": 0.2}},
        real="kvasir_seg",
    ),
    "box_table": LayoutCase(
        box_table,
        layout_of("csv_boxes", files("train/*.png", boxes="train.csv")),
        Expected(10, 10, 10, "box", "train.csv"),
        labels={"0": "Aortic enlargement", "1": "Atelectasis"},
        split={"rule": "seeded", "unit": "image", "seed": 1, "parts": {"train": 0.7, "validation": 0.1, "test": 0.2}},
    ),
}
