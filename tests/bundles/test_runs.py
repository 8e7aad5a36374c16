"""Every bundle, copied alone to another folder, trains, evaluates and infers by ``python -m monai.bundle run``."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest
import torch

from lvm_med_monai.bundles.json_text import read_json
from lvm_med_monai.bundles.table import overlays_of
from lvm_med_monai.handlers import read_history
from tests.bundles.conftest import BUNDLES, Trained, family_of, representatives, samples_of, train
from tests.bundles.harness import TORCHRUN, succeed

pytestmark = pytest.mark.slow
DOWNSTREAM = ("segmentation", "classification", "detection", "deepgrow")
PUBLISHED = [bundle for bundle in BUNDLES if "paper" in overlays_of(bundle)]
TILES = 20
"""Images on a page of classified ones."""


def variants() -> list[tuple[Path, str]]:
    """Overlays of the representatives; not the paper's, which all bundles run, nor those of numbers alone."""
    found = [(bundle, name) for bundle in representatives() for name in overlays_of(bundle) if name != "paper"]
    return [
        (bundle, name)
        for bundle, name in found
        if any(type(value) not in (int, float) for value in read_json(bundle / "configs" / f"{name}.json").values())
    ]


VARIANTS = variants()


@pytest.fixture(scope="module", params=BUNDLES, ids=lambda path: path.name)
def trained(request, tmp_path_factory) -> Trained:
    return train(request.param, tmp_path_factory.mktemp(request.param.name))


def test_training_leaves_weights_a_checkpoint_and_a_history(trained):
    assert "Epoch[2]" in trained.said
    best, last, checkpoint = (trained.run / name for name in ("model.pt", "model_final.pt", "checkpoint.pt"))
    assert checkpoint.is_file()
    for path in (best, last):
        if path == best or family_of(trained.bundle) in DOWNSTREAM:
            state = torch.load(path, weights_only=True)
            assert state
            assert all(isinstance(value, torch.Tensor) for value in state.values())
    assert [line["epoch"] for line in read_history(trained.run / "history.jsonl")][-2:] == [1, 2]
    assert not (trained.bundle / "models").exists()


def test_evaluation_leaves_tables_intervals_and_pictures(trained):
    succeed(trained.bundle, ["train.json", "demo.json", "evaluate.json"], trained.options, trained.folder)
    out = trained.run / "eval"
    if family_of(trained.bundle) not in DOWNSTREAM:
        metrics = json.loads((out / "metrics.json").read_text())
        assert metrics
        assert all(math.isfinite(value) for value in metrics.values())
        return
    assert sorted(out.glob("*_raw.csv"))
    _check_evaluation(out, family_of(trained.bundle), len(_tested(trained.data)))


def _tested(data: Path) -> list[dict]:
    """Entries of the test."""
    return json.loads((data / "dataset.json").read_text())["test"]


def _check_evaluation(out: Path, family: str, cases: int) -> None:
    """Metrics, an interval of each, and pictures of all cases, no other."""
    with (out / "metrics.csv").open(newline="") as table:
        metrics = {row[0]: float(row[1]) for row in csv.reader(table) if row[0].startswith("val_")}
    intervals = json.loads((out / "intervals.json").read_text())
    assert metrics
    assert metrics.keys() <= intervals["metrics"].keys()
    assert intervals["cases"] == cases
    if family == "classification":
        expected = {f"page_{page:03d}.png" for page in range(-(-cases // TILES))} | {"reliability.png"}
    else:
        expected = {f"case_{case:04d}.png" for case in range(cases)}
    assert {path.name for path in (out / "pictures").glob("*.png")} == expected


def test_inference_answers_for_every_input(trained):
    scans = samples_of(trained.bundle).scans(trained.bundle.name, trained.folder / "scans")
    out = trained.folder / "out"
    options = {"dataset_dir": scans, "ckpt_path": trained.run / "model.pt", "output_dir": out}
    succeed(trained.bundle, ["inference.json", "demo.json"], options, trained.folder)
    inputs = [path for path in scans.iterdir() if not path.name.startswith(".") and path.suffix != ".json"]
    family = family_of(trained.bundle)
    if family in ("segmentation", "deepgrow"):
        assert len(list(out.rglob("*_seg.*"))) == len(inputs)
    elif family == "classification":
        with (out / "predictions.csv").open(newline="") as table:
            assert len(list(csv.DictReader(table))) == len(inputs)
    elif family == "detection":
        assert len(json.loads((out / "boxes.json").read_text())["images"]) == len(inputs)
    else:
        assert any(path.stat().st_size for path in out.rglob("*") if path.is_file())


@pytest.mark.parametrize("bundle", representatives(), ids=lambda path: path.name)
def test_training_goes_on_where_it_stopped(bundle, tmp_path):
    before = train(bundle, tmp_path)
    options = {**before.options, "epochs": 3}
    said = succeed(before.bundle, ["train.json", "demo.json"], options, tmp_path)
    assert "resumed after epoch 2" in said
    assert [line["epoch"] for line in read_history(before.run / "history.jsonl")][-3:] == [1, 2, 3]


@pytest.mark.parametrize(("bundle", "overlay"), VARIANTS, ids=[f"{bundle.name}-{name}" for bundle, name in VARIANTS])
def test_variants_train(bundle, overlay, tmp_path):
    data = samples_of(bundle).write(bundle.name, tmp_path / "data")
    options = {"epochs": 1, "epoch_length": 1, "dataset_dir": data, "run_dir": tmp_path / "run"}
    succeed(bundle, ["train.json", f"{overlay}.json", "demo.json"], options, tmp_path)
    assert (tmp_path / "run" / "checkpoint.pt").is_file()


@pytest.mark.parametrize("bundle", PUBLISHED, ids=lambda path: path.name)
def test_published_protocols_train_and_are_evaluated(bundle, tmp_path):
    data = samples_of(bundle).write(bundle.name, tmp_path / "data")
    options = {"epochs": 1, "epoch_length": 1, "dataset_dir": data, "run_dir": tmp_path / "run"}
    names = ["train.json", "paper.json", "demo.json"]
    succeed(bundle, names, options, tmp_path)
    assert [line["epoch"] for line in read_history(tmp_path / "run" / "history.jsonl")][-1] == 1
    succeed(bundle, [*names, "evaluate.json"], options, tmp_path)
    # the paper's detection leaves out images without boxes
    cases = sum(entry["label"] != [] for entry in _tested(data))
    _check_evaluation(tmp_path / "run" / "eval", family_of(bundle), cases)


@pytest.mark.parametrize("bundle", representatives(), ids=lambda path: path.name)
def test_two_processes_train_together(bundle, tmp_path):
    data = samples_of(bundle).write(bundle.name, tmp_path / "data")
    options = {"epochs": 1, "epoch_length": 1, "dataset_dir": data, "run_dir": tmp_path / "run"}
    names = ["train.json", "demo.json", "multi_gpu_train.json"]
    succeed(bundle, names, options, tmp_path, launcher=TORCHRUN)
    assert (tmp_path / "run" / "checkpoint.pt").is_file()
