"""slice_embedding: features of volumes, series, pictures and extracted slices; learning from labels; retrieval."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from PIL import Image
from pyarrow import parquet

from lvm_med_monai.networks import ResNetEncoder
from lvm_med_monai.slices import read_manifest
from tests.bundles.harness import configs
from tests.bundles.samples import embedding as samples

BUNDLE = Path(__file__).resolve().parents[2] / "bundles" / "slice_embedding"


def run(names, kind="train", **overrides):
    workflow = ConfigWorkflow(
        config_file=configs(BUNDLE, *names),
        logging_file=False,
        workflow_type=kind,
        bundle_root=str(BUNDLE),
        **{key: str(value) if isinstance(value, Path) else value for key, value in overrides.items()},
    )
    workflow.initialize()
    workflow.run()
    return workflow


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return samples.write(BUNDLE.name, tmp_path_factory.mktemp("embedding"))


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    """Weights of a small encoder, as pretraining writes them."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "model.pt"
    torch.save(ResNetEncoder(depth=18, width=8).state_dict(), path)
    return path


def infer(folder, backbone, out, **options):
    run(["inference.json", "demo.json"], "infer", dataset_dir=folder, ckpt_path=backbone, output_dir=out, **options)
    table = parquet.read_table(out / "features.parquet")
    return dict(zip(table["slice_id"].to_pylist(), table["features"].to_pylist(), strict=True))


def test_every_slice_of_every_input_gets_features_of_the_bare_backbone(backbone, tmp_path):
    scans = samples.scans(BUNDLE.name, tmp_path / "scans")
    features = infer(scans, backbone, tmp_path / "out", batch_size=3)
    assert list(features) == [
        *(f"ct.nii.gz[{index}]" for index in range(4)),
        "picture.png",
        *(f"series[{index}]" for index in range(3)),
    ]
    assert (tmp_path / "out" / "neighbours.png").stat().st_size > 0
    encoder = ResNetEncoder(depth=18, width=8).eval()
    encoder.load_state_dict(torch.load(backbone, weights_only=True))
    parser = ConfigParser()
    parser.read_config(configs(BUNDLE, "inference.json", "demo.json"))
    items = parser.get_parsed_content("preprocessing")({"image": str(scans / "ct.nii.gz"), "name": "ct"})
    with torch.no_grad():
        expected = encoder(torch.stack([item["image"] for item in items]))
    found = np.array([features[f"ct.nii.gz[{index}]"] for index in range(4)])
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-5)
    assert list(infer(scans, backbone, tmp_path / "thin", every=2))[:2] == ["ct.nii.gz[0]", "ct.nii.gz[2]"]


def test_extracted_slices_have_the_features_of_their_files(data, backbone, tmp_path):
    features = infer(data / "slices", backbone, tmp_path / "shards")
    rows = read_manifest(data / "slices").to_pylist()
    assert set(features) == {row["slice_id"] for row in rows}
    scans = tmp_path / "scans"
    scans.mkdir()
    for path in (data / "scans" / "test" / "MR").iterdir():
        shutil.copy(path, scans)
    of_files = np.array(list(infer(scans, backbone, tmp_path / "files").values()))
    extracted = [features[row["slice_id"]] for row in rows if row["split"] == "test" and row["modality"] == "MR"]
    distances = np.abs(of_files[:, None] - np.array(extracted)[None]).max(-1)
    assert sorted(distances.argmin(1)) == [0, 1]
    assert distances.min(1).max() < 0.02 * np.abs(of_files).max()  # the window of shards is rounded to their storage


@pytest.mark.slow
def test_labels_change_features_and_leave_the_encoder(data, backbone, tmp_path):
    options = {
        "dataset_dir": data,
        "run_dir": tmp_path,
        "backbone_weights": backbone,
        "epochs": 30,
        "learning_rate": 0.01,
    }
    options["val_interval"] = 10
    run(["train.json", "demo.json"], **options)
    state = torch.load(tmp_path / "model_final.pt", weights_only=True)
    before = torch.load(backbone, weights_only=True)
    assert all(torch.equal(state[f"encoder.{key}"], value) for key, value in before.items())
    assert state["change.1.weight"].abs().max() > 0
    losses = [json.loads(line)["loss"] for line in (tmp_path / "history.jsonl").read_text().splitlines()[1:]]
    assert losses[-1] < 0.8 * losses[0]
    made = run(["train.json", "demo.json", "evaluate.json"], dataset_dir=data, run_dir=tmp_path)
    metrics = json.loads((tmp_path / "eval" / "metrics.json").read_text())
    assert metrics == made.parser.get_parsed_content("validate::evaluator").state.metrics
    assert set(metrics) == {"val_retrieval_precision", "val_neighbour_accuracy"}
    with (tmp_path / "eval" / "val_neighbour_accuracy_raw.csv").open() as table:
        assert {row["filename"].split("_")[0] for row in csv.DictReader(table)} == {"abdomen", "brain", "chest"}
    with Image.open(tmp_path / "eval" / "pictures" / "neighbours.png") as sheet:
        assert min(sheet.size) > 200


def test_a_bare_backbone_is_evaluated_without_training(data, backbone, tmp_path):
    run(["train.json", "demo.json", "evaluate.json"], dataset_dir=data, run_dir=tmp_path, ckpt_path=backbone)
    assert 0 <= json.loads((tmp_path / "eval" / "metrics.json").read_text())["val_retrieval_precision"] <= 1
    assert parquet.read_table(tmp_path / "eval" / "features.parquet").num_rows == 9


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda entries: [entry.pop("label") for entry in entries], "12 images have no label, which training needs"),
        (lambda entries: [entry.update(label="one") for entry in entries], "12 images have 1 labels"),
        (lambda entries: entries[0].update(image="gone.png"), "gone.png does not exist"),
    ],
    ids=["no labels", "one label", "missing image"],
)
def test_bad_input_is_told_before_the_first_step(spoil, message, data, tmp_path):
    sections = json.loads((data / "dataset.json").read_text())
    for entry in (entry for section in sections.values() for entry in section):
        entry["image"] = str(data / entry["image"])
    spoil(sections["training"])
    (tmp_path / "dataset.json").write_text(json.dumps(sections))
    with pytest.raises((RuntimeError, ValueError, FileNotFoundError)) as caught:
        run(["train.json", "demo.json"], dataset_dir=tmp_path, run_dir=tmp_path / "run")
    error = caught.value
    while error.__cause__ is not None:
        error = error.__cause__
    assert message in str(error)
    assert not (tmp_path / "run" / "checkpoint.pt").exists()
