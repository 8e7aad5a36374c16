"""The stages of a demonstration: extraction, pretraining of each arm, fine-tuning and evaluation of each arm."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from demo.plan import DATA, FINE_TUNING, PRETRAINING, SEGMENTATION, SOURCES, Arm, Plan
from demo.stages import Stage


def stage_groups(plan: Plan, output: Path) -> list[list[Stage]]:
    """Everything to run, in groups of stages that do not need each other; writes the input files of the commands."""
    _write_inputs(output)
    pretraining = [
        _pretrain(plan, arm, seed, output)
        for arm in plan.arms
        if arm.pretrained
        for seed in range(plan.pretraining_seeds)
    ]
    fine_tuning = [_fine_tune(plan, arm, seed, output) for arm in plan.arms for seed in range(plan.fine_tuning_seeds)]
    return [[_extract(output)], pretraining, fine_tuning]


def pretraining_run(output: Path, arm: Arm, seed: int) -> Path:
    """Folder of a pretraining run."""
    return output / "pretraining" / arm.name / f"seed{seed}"


def fine_tuning_run(output: Path, arm: Arm, seed: int) -> Path:
    """Folder of a fine-tuning run."""
    return output / "segmentation" / arm.name / f"seed{seed}"


def _write_inputs(output: Path) -> None:
    """Write the list of scans to extract and the datalist of the segmentation bundle."""
    output.mkdir(parents=True, exist_ok=True)
    sources = [{**source, "path": str(DATA / source["path"])} for source in SOURCES]
    (output / "sources.json").write_text(json.dumps(sources, indent=2))
    scan, test = DATA / "abdomen_ct", DATA / "abdomen_ct_dicom"
    datalist = {
        "training": [{"image": str(scan / "ct.nii.gz"), "label": str(scan / "organs.nii.gz")}],
        "test": [{"image": str(test / "series"), "label": str(test / "organs.nii.gz")}],
    }
    (output / "dataset.json").write_text(json.dumps(datalist, indent=2))


def _extract(output: Path) -> Stage:
    command = [sys.executable, "-m", "lvm_med_monai.slices", "extract", "--sources", str(output / "sources.json")]
    verify = [sys.executable, "-m", "lvm_med_monai.slices", "verify", str(output / "slices")]
    key = ["--key", str(output / "identity.key")]
    return Stage("extract", ((*command, "-o", str(output / "slices"), "--every-mm", "0", *key), tuple(verify)))


def _bundle(root: Path, configs: list[str], options: dict[str, str]) -> tuple[str, ...]:
    """Command that runs a bundle with overlays and overrides."""
    files = str([str(root / "configs" / name) for name in configs])
    arguments = [part for key, value in options.items() for part in (f"--{key}", value)]
    logging = ["--logging_file", str(root / "configs" / "logging.conf"), "--bundle_root", str(root)]
    return (sys.executable, "-m", "monai.bundle", "run", "--config_file", files, *logging, *arguments)


def _pretrain(plan: Plan, arm: Arm, seed: int, output: Path) -> Stage:
    options = {
        "dataset_dir": str(output / "slices"),
        "run_dir": str(pretraining_run(output, arm, seed)),
        "seed": str(seed),
        "epochs": str(plan.epochs),
        **dict(arm.options),
    }
    command = _bundle(PRETRAINING, ["train.json", "demo.json", *arm.overlays], options)
    return Stage(f"pretrain/{arm.name}/seed{seed}", (command,))


def _fine_tune(plan: Plan, arm: Arm, seed: int, output: Path) -> Stage:
    run = fine_tuning_run(output, arm, seed)
    options = {**FINE_TUNING, "dataset_dir": str(output), "run_dir": str(run), "seed": str(seed)}
    if arm.pretrained:
        backbone = pretraining_run(output, arm, seed % plan.pretraining_seeds) / "model.pt"
        train = {**options, "backbone_weights": str(backbone)}
    else:
        train = options
    evaluate = {**options, "ckpt_path": str(run / "model_final.pt"), "val_section": "test"}
    commands = (
        _bundle(SEGMENTATION, ["train.json"], train),
        _bundle(SEGMENTATION, ["train.json", "evaluate.json"], evaluate),
    )
    return Stage(f"fine-tune/{arm.name}/seed{seed}", commands)
