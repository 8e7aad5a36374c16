"""Classification bundles: bad input, overlays, formats of inputs, two processes."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from PIL import Image

from lvm_med_monai.handlers import read_history
from lvm_med_monai.slices import Source, extract, read_manifest
from tests.bundles.harness import TORCHRUN, configs, succeed
from tests.bundles.samples import classification as samples
from tests.bundles.samples.dicom import write_dicom

ROOT = Path(__file__).resolve().parents[2]
BRAIN, CHEST, FUNDUS = (
    ROOT / "bundles" / f"{name}_classification"
    for name in ("brain_tumor_mri", "chest_finding_xray", "diabetic_retinopathy_fundus")
)
LESIONS = ["Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion"]


def workflow(bundle, names, **overrides):
    return ConfigWorkflow(
        config_file=configs(bundle, *names),
        meta_file=str(bundle / "configs" / "metadata.json"),
        logging_file=False,
        workflow_type="train",
        bundle_root=str(bundle),
        **{key: str(value) if isinstance(value, Path) else value for key, value in overrides.items()},
    )


def train(bundle, names, **overrides):
    made = workflow(bundle, names, **overrides)
    made.initialize()
    made.run()
    return made


@pytest.fixture(scope="module")
def brain(tmp_path_factory):
    return samples.write(BRAIN.name, tmp_path_factory.mktemp("brain"))


@pytest.fixture(scope="module")
def chest(tmp_path_factory):
    return samples.write(CHEST.name, tmp_path_factory.mktemp("chest"))


def relabel(change):
    """A datalist whose second training entry is changed."""

    def spoil(folder, sections):
        change(sections["training"][1], folder)

    return spoil


def four_channels(entry, folder):
    Image.new("RGBA", (20, 20)).save(folder / "four.png")
    entry["image"] = "four.png"


def volume(entry, folder):
    nib.save(nib.Nifti1Image(np.zeros((9, 9, 3), np.int16), np.eye(4)), folder / "volume.nii.gz")
    entry["image"] = "volume.nii.gz"


BAD = {
    "label outside": (
        relabel(lambda entry, _: entry.update(label=4)),
        {},
        "the label 4, which is none of the 4 classes",
    ),
    "unknown class": (relabel(lambda entry, _: entry.update(label="cyst")), {}, "the label 'cyst', which is none"),
    "too few classes": (lambda *_: None, {"class_names": ["a", "b"]}, "the label 2, which is none of the 2 classes"),
    "findings of single labels": (lambda *_: None, {"multi_label": True}, "the label 0: expected a list of 4 numbers"),
    "four channels": (relabel(four_channels), {}, "four.png has 4 channels (RGBA), expected grey or RGB"),
    "volume": (relabel(volume), {}, "volume.nii.gz holds 3 pictures, expected one"),
    "missing image": (relabel(lambda entry, _: entry.update(image="gone.png")), {}, "gone.png does not exist"),
    "no label": (relabel(lambda entry, _: entry.pop("label")), {}, "has no label; leave it out, or label it"),
    "empty section": (
        lambda _, sections: sections.update(training=[]),
        {},
        "the section 'training' of dataset.json is empty",
    ),
    "no validation": (lambda _, sections: sections.pop("validation"), {}, "no section 'validation' with entries"),
    "no weights": (lambda *_: None, {"backbone_weights": "/absent.pt"}, "no weights at /absent.pt"),
    "unknown head": (lambda *_: None, {"head": "mlp"}, "no head 'mlp': choose one of linear, fcns"),
}


@pytest.mark.parametrize(("spoil", "overrides", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_told_before_the_first_step(spoil, overrides, message, brain, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(brain, data, ignore=shutil.ignore_patterns("slices", "pictures", "key"))
    sections = json.loads((data / "dataset.json").read_text())
    spoil(data, sections)
    (data / "dataset.json").write_text(json.dumps(sections))
    with pytest.raises((RuntimeError, ValueError, FileNotFoundError)) as caught:
        train(BRAIN, ["train.json", "demo.json"], dataset_dir=data, run_dir=tmp_path / "run", **overrides)
    error = caught.value
    while error.__cause__ is not None:
        error = error.__cause__
    assert isinstance(error, (ValueError, FileNotFoundError))
    assert message in str(error)
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


def test_rsna_is_two_classes_judged_by_accuracy(chest, tmp_path):
    sections = json.loads((chest / "dataset.json").read_text())
    for entry in (entry for section in sections.values() for entry in section):
        entry |= {"image": str(chest / entry["image"]), "label": int(sum(entry["label"]) > 2)}
    (tmp_path / "dataset.json").write_text(json.dumps(sections))
    names = ["train.json", "rsna_pneumonia.json", "demo.json"]
    options = {"dataset_dir": tmp_path, "run_dir": tmp_path / "run", "epochs": 1}
    train(CHEST, names, **options)
    train(CHEST, [*names, "evaluate.json"], **options)
    metrics = dict(csv.reader((tmp_path / "run" / "eval" / "metrics.csv").open()))
    assert set(metrics) >= {"val_accuracy", "val_auroc"}
    table = list(csv.DictReader((tmp_path / "run" / "eval" / "predictions.csv").open()))
    right = [row["label"] == row["prediction"] for row in table]
    assert float(metrics["val_accuracy"]) == pytest.approx(np.mean(right))
    assert all(float(row["no opacity"]) + float(row["opacity"]) == pytest.approx(1, abs=1e-5) for row in table)


def test_few_shots_choose_images_of_every_finding(chest, tmp_path):
    sections = json.loads((chest / "dataset.json").read_text())
    for section, entries in sections.items():
        for number, entry in enumerate(entries * 5):
            label = [0] * 19
            label[number % 19] = 1
            entries.append({"image": str(chest / entry["image"]), "label": label})
        sections[section] = entries[-5 * len(entries) // 6 :]
    (tmp_path / "dataset.json").write_text(json.dumps(sections))
    names = ["train.json", "medfmc_few_shot.json", "demo.json"]
    made = train(CHEST, names, dataset_dir=tmp_path, run_dir=tmp_path / "run", shots=1, epochs=1, val_interval=1)
    chosen = made.parser.get_parsed_content("train::dataset::data")
    assert [int(sum(column)) for column in zip(*(item["label"] for item in chosen), strict=True)] == [1] * 19


@pytest.mark.parametrize("overlays", [["shards.json", "shots.json"], ["shots.json", "shards.json"]], ids=str)
def test_few_shots_of_extracted_slices_whatever_the_order_of_overlays(overlays, brain, tmp_path):
    source = [Source(brain, dataset="brain", split="train")]
    extract(source, tmp_path / "slices", key_file=tmp_path / "key", progress=False)
    names = read_manifest(tmp_path / "slices").column("slice_id").to_pylist()
    entries = [{"image": name, "label": number % 4} for number, name in enumerate(names)]
    sections = {"training": entries, "validation": entries, "test": entries}
    (tmp_path / "slices" / "dataset.json").write_text(json.dumps(sections))
    copied = shutil.copytree(BRAIN, tmp_path / "bundle")
    (copied / "configs" / "shots.json").write_text('{"shots": 2}')
    made = workflow(copied, ["train.json", *overlays, "demo.json"], dataset_dir=tmp_path, run_dir=tmp_path / "run")
    made.initialize()
    chosen = made.parser.get_parsed_content("train::dataset::data")
    assert sorted(item["label"] for item in chosen) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert len(made.parser.get_parsed_content("validate::dataset::data")) == len(names)


def test_uncertain_findings_train_by_the_policy(chest, tmp_path):
    for policy, value in (("ignore", -1.0), ("positive", 1.0)):
        made = workflow(CHEST, ["train.json", "demo.json"], dataset_dir=chest, run_dir=tmp_path, uncertain=policy)
        made.initialize()
        labels = [item["label"] for item in made.parser.get_parsed_content("train::dataset::data")]
        raw = [entry["label"] for entry in json.loads((chest / "dataset.json").read_text())["training"]]
        assert any(-1 in label for label in raw)
        assert labels == [[value if mark == -1 else float(mark) for mark in label] for label in raw]


def test_balance_weighs_rare_classes_in_the_loss(brain, tmp_path):
    sections = json.loads((brain / "dataset.json").read_text())
    counts = np.bincount([entry["label"] for entry in sections["training"][:9]], minlength=4)
    for entry in (entry for section in sections.values() for entry in section):
        entry["image"] = str(brain / entry["image"])
    (tmp_path / "dataset.json").write_text(json.dumps({**sections, "training": sections["training"][:9]}))
    made = workflow(BRAIN, ["train.json", "demo.json"], dataset_dir=tmp_path, run_dir=tmp_path / "run", balance=1)
    made.initialize()
    weights = made.parser.get_parsed_content("loss").weights
    np.testing.assert_allclose(weights, 9 / (4 * np.maximum(counts, 1)), rtol=1e-6)


def test_a_linear_probe_leaves_the_backbone_as_it_was(brain, tmp_path):
    names = ["train.json", "linear_probe.json", "demo.json"]
    made = workflow(BRAIN, names, dataset_dir=brain, run_dir=tmp_path)
    made.initialize()
    network = made.parser.get_parsed_content("network_def")
    before = {key: value.clone() for key, value in network.state_dict().items()}
    made.run()
    changed = {key for key, value in network.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {"head.weight", "head.bias"}


def test_the_paper_moves_the_statistics_of_the_frozen_backbone(brain, tmp_path):
    names = ["train.json", "paper.json", "paper_frozen.json", "demo.json"]
    made = workflow(BRAIN, names, dataset_dir=brain, run_dir=tmp_path)
    made.initialize()
    network = made.parser.get_parsed_content("network_def")
    before = {key: value.clone() for key, value in network.state_dict().items()}
    made.run()
    changed = {key for key, value in network.state_dict().items() if not torch.equal(value, before[key])}
    assert {"head.weight", "encoder.bn1.running_mean"} <= changed
    assert "encoder.conv1.weight" not in changed


def test_the_papers_fundus_transform_is_random_at_test_too(tmp_path):
    data = samples.write(FUNDUS.name, tmp_path / "data")
    first = {}
    for name in ("paper.json", "linear_probe.json"):
        made = workflow(FUNDUS, ["train.json", name, "demo.json"], dataset_dir=data, run_dir=tmp_path, cache_rate=0)
        made.initialize()
        dataset = made.parser.get_parsed_content("validate::dataset")
        first[name] = [dataset[0]["image"] for _ in range(4)]
    assert not all(torch.equal(first["paper.json"][0], other) for other in first["paper.json"])
    assert all(torch.equal(first["linear_probe.json"][0], other) for other in first["linear_probe.json"])


def test_the_papers_vit_sees_whole_pictures_as_they_are(tmp_path):
    data = samples.write(FUNDUS.name, tmp_path / "data")
    names = ["train.json", "paper.json", "paper_vit_b.json", "demo.json"]
    options = {"dataset_dir": data, "run_dir": tmp_path / "run", "stored_size": [64, 64], "epochs": 1}
    made = train(FUNDUS, names, **options)
    for section in ("train", "validate"):
        dataset = made.parser.get_parsed_content(f"{section}::dataset")
        assert dataset[0]["image"].shape == (3, 64, 64)
        assert torch.equal(dataset[0]["image"], dataset[0]["image"])
    assert type(made.parser.get_parsed_content("network_def").encoder).__name__ == "ViTEncoder"
    train(FUNDUS, [*names, "evaluate.json"], **options)
    metrics = dict(csv.reader((tmp_path / "run" / "eval" / "metrics.csv").open()))
    assert set(metrics) >= {"val_accuracy", "val_kappa"}


@pytest.mark.slow
def test_two_processes_learn_from_all_images_and_judge_all(chest, tmp_path):
    options = {"dataset_dir": chest, "run_dir": tmp_path / "run", "epochs": 1}
    succeed(CHEST, ["train.json", "demo.json", "multi_gpu_train.json"], options, tmp_path, launcher=TORCHRUN)
    (_, last) = read_history(tmp_path / "run" / "history.jsonl")
    assert last["iteration"] == 1  # 8 images, 2 processes, batches of 4
    assert 0 <= last["val_auroc"] <= 1
    state = torch.load(tmp_path / "run" / "model.pt", weights_only=True)
    assert not any(key.startswith("module.") for key in state)


def test_one_picture_in_four_formats_gets_one_answer_and_no_name(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (50, 64), dtype=np.uint8)
    scans = tmp_path / "scans"
    scans.mkdir()
    Image.fromarray(pixels).save(scans / "a.png")
    Image.fromarray(np.repeat(pixels[..., None], 3, 2)).save(scans / "b.tif")
    nib.save(nib.Nifti1Image(pixels.T[:, :, None].astype(np.float32), np.diag([-1, -1, 1, 1])), scans / "c.nii.gz")
    (scans / "d").mkdir()
    write_dicom(scans / "d" / "file", pixels)
    overrides = {"bundle_root": str(BRAIN), "dataset_dir": str(scans), "output_dir": str(tmp_path / "out")}
    parser = ConfigParser()
    parser.read_config(configs(BRAIN, "inference.json", "demo.json"))
    torch.save(parser.get_parsed_content("network_def").state_dict(), tmp_path / "model.pt")
    made = ConfigWorkflow(
        config_file=configs(BRAIN, "inference.json", "demo.json"),
        logging_file=False,
        workflow_type="infer",
        ckpt_path=str(tmp_path / "model.pt"),
        **overrides,
    )
    made.initialize()
    assert made.check_properties() == []
    made.run()
    text = (tmp_path / "out" / "predictions.csv").read_text()
    assert "ecret" not in text.lower()
    rows = list(csv.reader(text.splitlines()))
    assert rows[0] == ["image", "prediction", "glioma", "meningioma", "no tumour", "pituitary tumour"]
    assert [row[0] for row in rows[1:]] == ["a.png", "b.tif", "c.nii.gz", "d"]
    numbers = np.array([[float(value) for value in row[2:]] for row in rows[1:]])
    np.testing.assert_allclose(numbers, numbers[:1].repeat(4, 0), atol=2e-6)
    np.testing.assert_allclose(numbers.sum(1), 1, atol=1e-5)


def test_postprocessing_gives_probabilities_with_metadata_and_takes_label_apart(tmp_path):
    """MONAI Label and MONAI Deploy call it on their own, without the rest of the configuration."""
    for bundle, total in ((BRAIN, 1.0), (CHEST, None)):
        parser = ConfigParser()
        parser.read_config(configs(bundle, "inference.json"))
        item = {"image": torch.zeros(3, 8, 8), "image_meta_dict": {}, "pred": torch.tensor([1.0, 0.0, 2.0, -1.0])}
        out = parser.get_parsed_content("postprocessing")(item)
        assert "image_meta_dict" not in out
        expected = torch.sigmoid(item["pred"]) if total is None else torch.softmax(item["pred"], 0)
        torch.testing.assert_close(out["pred"].as_tensor(), expected)
        assert type(out["pred"]).__name__ == "MetaTensor"
