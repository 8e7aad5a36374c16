"""Collect what the stages measured into one dictionary, the content of ``metrics.json``."""

from __future__ import annotations

import csv
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from demo.pipeline import fine_tuning_run, pretraining_run
from demo.plan import GRAPH_MATCHING, ORGANS, Arm, Plan
from demo.schedule import total_seconds
from lvm_med_monai.handlers import read_history

PROBES = ("seen", "unseen_mild", "unseen", "neighbours")
_PACKAGES = ("lvm-med-monai", "monai", "torch", "segmentation-models-pytorch", "lapx", "numpy", "pydicom")


def collect(plan: Plan, output: Path, seconds: dict[str, float]) -> dict[str, Any]:
    """All measurements of a finished demonstration.

    Keys:
        pretraining.matching_accuracy.{first,last}: protocol ``seen`` of the first graph-matching run, before and after.
        pretraining.seconds: of that run.
        pretraining.probes.<arm>.<probe>.{accuracy,retrieval}.{first,last}: lists over seeds.
        segmentation.<organ>_dice.<arm>: lists over seeds, Dice over the test volume.
        stages: seconds of each stage; stages that ran side by side overlap.
        seconds_total: wall time of all stages, interrupted attempts included, the report not.
        versions, machine: what it ran on.
    """
    arms = [arm for arm in plan.arms if arm.pretrained]
    probes = {arm.name: _probes(plan, output, arm) for arm in arms}
    headline = probes[GRAPH_MATCHING.name]["seen"]["accuracy"]
    return {
        "pretraining": {
            "matching_accuracy": {"first": headline["first"][0], "last": headline["last"][0]},
            "seconds": seconds[f"pretrain/{GRAPH_MATCHING.name}/seed0"],
            "probes": probes,
        },
        "segmentation": {
            f"{organ}_dice": {arm.name: _dice(plan, output, arm, label) for arm in plan.arms}
            for label, organ in enumerate(ORGANS)
        },
        "stages": seconds,
        "seconds_total": total_seconds(output),
        "versions": _versions(),
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
    }


def _versions() -> dict[str, str]:
    """Versions of the packages that matter, of those that this platform has."""
    installed = {found.metadata["Name"].replace("_", "-"): found.version for found in metadata.distributions()}
    return {name: installed[name] for name in _PACKAGES if name in installed}


def _probes(plan: Plan, output: Path, arm: Arm) -> dict[str, dict[str, dict[str, list[float]]]]:
    """First and last values of each probe, over the seeds of an arm."""
    histories = [
        read_history(pretraining_run(output, arm, seed) / "history.jsonl") for seed in range(plan.pretraining_seeds)
    ]
    return {
        probe: {
            measure: {
                "first": [round(history[0][f"{probe}_{measure}"], 4) for history in histories],
                "last": [round(history[-1][f"{probe}_{measure}"], 4) for history in histories],
            }
            for measure in ("accuracy", "retrieval")
        }
        for probe in PROBES
    }


def _dice(plan: Plan, output: Path, arm: Arm, label: int) -> list[float]:
    """Dice of one organ over the test volume, over the fine-tuning seeds of an arm."""
    values = []
    for seed in range(plan.fine_tuning_seeds):
        table = fine_tuning_run(output, arm, seed) / "eval" / "val_mean_dice_raw.csv"
        with table.open(newline="") as rows:
            row = next(csv.DictReader(rows, delimiter=_delimiter(table)))
        values.append(round(float(row[f"class{label}"]), 4))
    return values


def _delimiter(table: Path) -> str:
    """MONAI writes commas or tabs, depending on its version."""
    return "\t" if "\t" in table.read_text().splitlines()[0] else ","
