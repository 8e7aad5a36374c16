"""A classifier learns which organs a CT slice shows, from real pixels, through the bundle's own configurations."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from monai.bundle import ConfigWorkflow
from sklearn.metrics import roc_auc_score

from tests.bundles.harness import configs

ROOT = Path(__file__).resolve().parents[2]
BUNDLE = ROOT / "bundles" / "chest_finding_xray_classification"
ORGANS = {"liver": 5, "spleen": 1, "stomach": 6, "left kidney": 3, "urinary bladder": 21}
BLOCK = 14
"""Slices of 3 mm that are trained on or held out together."""
EDGE = 2
"""Slices at both ends of a block that are not trained on: they look like their neighbours, which are held out."""
VISIBLE = 10
"""Pixels from which an organ counts as present."""
MARGIN = 0.2
"""By which the mean AUROC must beat the class prior, whose AUROC is 0.5. Fixed before the first run."""


def write_slices(folder: Path) -> list[dict]:
    """Every slice as a NIfTI file of one slice, with the organs that it shows."""
    scan = nib.load(ROOT / "demo_data" / "abdomen_ct" / "ct.nii.gz")
    organs = np.asarray(nib.load(ROOT / "demo_data" / "abdomen_ct" / "organs.nii.gz").dataobj)
    values = np.asarray(scan.dataobj, np.float32)
    entries = []
    for index in range(values.shape[2]):
        nib.save(nib.Nifti1Image(values[:, :, index : index + 1], scan.affine), folder / f"{index:03d}.nii")
        present = [int((organs[:, :, index] == number).sum() >= VISIBLE) for number in ORGANS.values()]
        entries.append({"image": f"{index:03d}.nii", "label": present})
    return entries


def run(names, overrides):
    workflow = ConfigWorkflow(
        config_file=configs(BUNDLE, *names),
        meta_file=str(BUNDLE / "configs" / "metadata.json"),
        logging_file=False,
        workflow_type="train",
        bundle_root=str(BUNDLE),
        **overrides,
    )
    workflow.initialize()
    workflow.run()
    return workflow


@pytest.mark.slow
def test_organs_in_held_out_blocks_of_a_scan_are_recognised(tmp_path):
    entries = write_slices(tmp_path)
    truth = np.array([entry["label"] for entry in entries])
    scores, chance = [], []
    for fold in (0, 1):
        held_out = [index for index in range(len(entries)) if index // BLOCK % 2 == fold]
        inner = range(EDGE, BLOCK - EDGE)
        training = [index for index in range(len(entries)) if index // BLOCK % 2 != fold and index % BLOCK in inner]
        lists = {"training": training, "validation": training[::4], "test": held_out}
        sections = {name: [entries[index] for index in indices] for name, indices in lists.items()}
        (tmp_path / "dataset.json").write_text(json.dumps(sections))
        overrides = {
            "dataset_dir": str(tmp_path),
            "run_dir": str(tmp_path / f"run{fold}"),
            "class_names": list(ORGANS),
            "intensity": {
                "_target_": "ScaleIntensityRanged",
                "keys": "image",
                "a_min": -160,
                "a_max": 240,
                "b_min": 0,
                "b_max": 1,
                "clip": True,
            },
            "epochs": 25,
            "val_interval": 25,
            "learning_rate": 0.002,
            "depth": 18,
            "width": 8,
            "batch_size": 8,
            "seed": fold,
        }
        run(["train.json", "demo.json"], overrides)
        evaluation = {**overrides, "ckpt_path": str(tmp_path / f"run{fold}" / "model_final.pt")}
        workflow = run(["train.json", "demo.json", "evaluate.json"], evaluation)
        scores.append(workflow.parser.get_parsed_content("validate::evaluator").state.metrics["val_auroc"])
        prior = np.tile(truth[training].mean(0), (len(held_out), 1))
        chance.append(roc_auc_score(truth[held_out], prior, average="macro"))
    assert chance == [0.5, 0.5]
    assert np.mean(scores) >= 0.5 + MARGIN, scores
