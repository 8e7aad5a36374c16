"""Detection learns on real pixels through its own configurations: nuclei, a quarter of a micrograph held out."""

from __future__ import annotations

import json
import re
import shutil

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

from lvm_med_monai.handlers import read_history
from lvm_med_monai.metrics.boxes import average_precision_of_matches, matched_boxes
from tests.bundles.conftest import ROOT
from tests.bundles.harness import TORCHRUN, run, succeed
from tests.bundles.samples.detection import as_slices, tiles_of, write
from tests.bundles.samples.dicom import write_dicom

BUNDLE = ROOT / "bundles" / "coronary_stenosis_angiography_detection"
CHEST = ROOT / "bundles" / "chest_abnormality_xray_detection"
MARGIN = 0.4
"""By which mAP50 on the test quarter must exceed the better of two baselines; fixed before the first run."""
SIZE = 128
LEARNING = {
    "image_size": SIZE,
    "short_side": SIZE,
    "long_side": SIZE,
    "width": 16,
    "fpn_channels": 32,
    "head_features": 64,
    "anchor_sizes": "[24,32,48,64,96]",
    "proposals": 200,
    "regions": 64,
}
TRAINING = {"learning_rate": 0.002, "epochs": 12, "val_interval": 6}


@pytest.fixture(scope="module")
def nuclei(tmp_path_factory):
    """Tiles of the quarters; those of training overlap."""
    folder = tmp_path_factory.mktemp("nuclei")
    sections = {}
    for section, stride in (("training", 32), ("validation", SIZE), ("test", SIZE)):
        sections[section] = []
        for index, (pixels, boxes) in enumerate(tiles_of(section, SIZE, stride)):
            name = f"{section}_{index}.png"
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name)
            sections[section].append({"image": name, "box": boxes.tolist(), "label": [0] * len(boxes)})
    (folder / "dataset.json").write_text(json.dumps(sections))
    return folder


@pytest.fixture(scope="module")
def trained(nuclei, tmp_path_factory):
    folder = tmp_path_factory.mktemp("learning")
    options = {**LEARNING, **TRAINING, "dataset_dir": nuclei, "run_dir": folder / "run"}
    succeed(BUNDLE, ["train.json", "demo.json"], options, folder)
    return folder / "run"


def baseline(sections, every):
    """mAP50 on the test section of boxes that know no image: the mean box, or boxes of the mean size on a grid."""
    training = np.array([box for entry in sections["training"] for box in entry["box"]])
    width, height = (training[:, 2:] - training[:, :2]).mean(0)
    centres = [(training[:, 0::2].mean(), training[:, 1::2].mean())]
    if every is not None:
        steps = np.arange(every / 2, SIZE, every)
        centres = [(x, y) for x in steps for y in steps]
    boxes = [[x - width / 2, y - height / 2, x + width / 2, y + height / 2, 0, 1] for x, y in centres]
    truths = [np.array(entry["box"]).reshape(-1, 4) for entry in sections["test"]]
    matches = [matched_boxes(np.array(boxes), np.insert(t, 4, 0, axis=1), np.array([0.5])) for t in truths]
    rows = np.concatenate(matches)
    return average_precision_of_matches(rows[:, 1], rows[:, 2:], sum(len(truth) for truth in truths))


@pytest.mark.slow
def test_nuclei_of_a_held_out_quarter_are_found(nuclei, trained, tmp_path):
    options = {**LEARNING, "dataset_dir": nuclei, "run_dir": trained}
    succeed(BUNDLE, ["train.json", "demo.json", "evaluate.json"], options, tmp_path)
    intervals = json.loads((trained / "eval" / "intervals.json").read_text())["metrics"]
    sections = json.loads((nuclei / "dataset.json").read_text())
    trivial = max(baseline(sections, every) for every in (None, 12, 16, 24))
    found = intervals["val_map50"]["value"]
    print(f"mAP50 {found:.3f}, baseline {trivial:.3f}")
    assert found > trivial + MARGIN
    assert intervals["val_map50"]["low"] <= found <= intervals["val_map50"]["high"]
    written = {path.name for path in (trained / "eval").rglob("*")}
    assert {"metrics.csv", "val_map50_raw.csv", "val_map_summary.csv", "boxes.json", "case_0003.png"} <= written
    assert read_history(trained / "history.jsonl")[-1]["loss"] < read_history(trained / "history.jsonl")[1]["loss"]


@pytest.mark.slow
def test_boxes_come_in_the_frame_of_the_stored_image(nuclei, trained, tmp_path):
    """The same pixels as a picture, NIfTI with a last axis or mirrored in the header, DICOM, and in a rectangle."""
    scans = tmp_path / "scans"
    scans.mkdir()
    shutil.copy(nuclei / "test_0.png", scans / "a.png")
    pixels = np.asarray(Image.open(nuclei / "test_0.png"))
    nib.save(nib.Nifti1Image(pixels.T[:, :, None].astype(np.float32), np.diag([-1, -1, 1, 1])), scans / "b.nii.gz")
    nib.save(nib.Nifti1Image(pixels.T[:, :, None].astype(np.float32), np.diag([1, -1, 1, 1])), scans / "c.nii.gz")
    wide = np.zeros((SIZE, 2 * SIZE), np.uint8)
    wide[:, SIZE:] = pixels
    Image.fromarray(wide).save(scans / "d.png")
    write_dicom(scans / "e.dcm", pixels)
    (scans / "f").mkdir()
    write_dicom(scans / "f" / "file", pixels)
    options = {**LEARNING, "dataset_dir": scans, "ckpt_path": trained / "model.pt", "output_dir": tmp_path / "out"}
    succeed(BUNDLE, ["inference.json", "demo.json"], {**options, "long_side": 2 * SIZE}, tmp_path)
    content = json.loads((tmp_path / "out" / "boxes.json").read_text())
    images = {image["image"]: image["boxes"] for image in content["images"]}
    assert list(images) == ["a.png", "b.nii.gz", "c.nii.gz", "d.png", "e.dcm", "f"]
    assert all(images[name] == images["a.png"] for name in ("b.nii.gz", "c.nii.gz", "e.dcm", "f"))
    assert images["a.png"][0]["class"] == "stenosis"
    # far from the seam, as what lies beyond it is seen too
    sure = [box["box"] for box in images["a.png"] if box["score"] > 0.9 and box["box"][0] > SIZE / 4]
    moved = np.array([box["box"] for box in images["d.png"]]) - [SIZE, 0, SIZE, 0]
    assert len(sure) > 2
    assert max(np.abs(moved - box).max(1).min() for box in sure) < 3


@pytest.mark.slow
def test_extracted_slices_are_as_good_as_pictures(tmp_path):
    data = write(CHEST.name, tmp_path / "data")
    slices = as_slices(data, tmp_path / "extracted")
    options = {"run_dir": tmp_path / "run", "epochs": 1, "dataset_dir": slices}
    succeed(CHEST, ["train.json", "demo.json"], options, tmp_path)
    found = {}
    for folder in (data, slices):
        again = {**options, "dataset_dir": folder, "output_dir": tmp_path / folder.name, "score_threshold": 0.0}
        succeed(CHEST, ["train.json", "demo.json", "evaluate.json"], again, tmp_path)
        images = json.loads((tmp_path / folder.name / "boxes.json").read_text())["images"]
        found[folder] = [image["boxes"] for image in images]
        metrics = (tmp_path / folder.name / "metrics.csv").read_text()
        assert "val_map50" in metrics
    assert any(found[data])
    assert found[data] == found[slices]


@pytest.mark.slow
def test_two_processes_train_together(tmp_path):
    write(CHEST.name, tmp_path / "data")
    options = {"dataset_dir": tmp_path / "data", "run_dir": tmp_path / "run", "epochs": 1, "batch_size": 2}
    names = ["train.json", "paper.json", "demo.json", "multi_gpu_train.json"]
    succeed(CHEST, names, options, tmp_path, launcher=TORCHRUN)
    assert {"model.pt", "model_final.pt", "checkpoint.pt", "history.jsonl"} <= {
        p.name for p in (tmp_path / "run").iterdir()
    }
    state = torch.load(tmp_path / "run" / "model_final.pt", weights_only=True)
    assert not [name for name in state if name.startswith("module.")]


def entry_of(data, **changes):
    sections = json.loads((data / "dataset.json").read_text())
    sections["training"][0].update(changes)
    (data / "dataset.json").write_text(json.dumps(sections))
    return {}


def four_channels(data):
    Image.fromarray(np.zeros((64, 64, 4), np.uint8)).save(data / "rgba.png")
    return entry_of(data, image="rgba.png", box=[], label=[])


def no_entries(data):
    (data / "dataset.json").write_text(json.dumps({"training": []}))
    return {}


BAD_INPUT = {
    "label outside the classes": (
        lambda data: entry_of(data, box=[[1, 1, 9, 9]], label=[14]),
        "the label 14, which is none of the 14 classes",
        {"ignored_labels": "[]"},
    ),
    "box outside the image": (
        lambda data: entry_of(data, box=[[1, 1, 900, 9]], label=[0]),
        "leaves the picture of",
        {},
    ),
    "box without area": (lambda data: entry_of(data, box=[[9, 1, 9, 9]], label=[0]), "without area", {}),
    "four channels": (four_channels, "rgba.png has 4 channels", {}),
    "empty datalist": (no_entries, "the section 'training' of dataset.json is empty", {}),
    "missing image": (lambda data: entry_of(data, image="gone.png"), "gone.png does not exist", {}),
}


@pytest.mark.slow
@pytest.mark.parametrize(("spoil", "message", "options"), BAD_INPUT.values(), ids=BAD_INPUT.keys())
def test_bad_input_gets_one_message_before_training_starts(spoil, message, options, tmp_path):
    data = write(CHEST.name, tmp_path / "data")
    spoil(data)
    options = {"dataset_dir": data, "run_dir": tmp_path / "run", **options}
    code, said = run(CHEST, ["train.json", "demo.json"], options, tmp_path)
    assert code != 0
    assert len(re.findall(rf"^\w+Error: .*{re.escape(message)}.*$", said, flags=re.MULTILINE)) == 1, said[-2000:]
    assert "Epoch[1]" not in said
