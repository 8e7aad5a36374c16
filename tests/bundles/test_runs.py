"""Bundles run as a user runs them, from another folder: train, evaluate, infer, interrupted and with bad input."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
from pyarrow import parquet

from lvm_med_monai.handlers import read_history
from lvm_med_monai.slices import read_manifest
from tests.bundles.conftest import DATA, PRETRAINING, SEGMENTATION, configs

TINY = {"depth": 18, "width": 8}
TINY_PRETRAINING = {
    **TINY,
    "batch_size": 16,
    "epochs": 2,
    "epoch_length": 2,
    "recipe::graph_size": 16,
    "view_size": 32,
    "stored_size": 40,
}


def run(bundle, names, options, folder, module="monai.bundle", launcher=()):
    """Run a bundle in another process and working folder; return its exit code and all that it said."""
    files = str(configs(bundle, *names))
    arguments = [part for key, value in options.items() for part in (f"--{key}", str(value))]
    command = [
        *(launcher or (sys.executable,)),
        "-m",
        module,
        "run",
        "--config_file",
        files,
        "--bundle_root",
        str(bundle),
    ]
    logging = ["--logging_file", *configs(bundle, "logging.conf")]
    done = subprocess.run([*command, *logging, *arguments], cwd=folder, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def succeed(*arguments, **options):
    code, said = run(*arguments, **options)
    assert code == 0, said[-3000:]
    return said


@pytest.fixture(scope="module")
def pretrained(slices, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretraining")
    options = {**TINY_PRETRAINING, "dataset_dir": slices, "run_dir": folder / "run", "probes": "[]"}
    said = succeed(PRETRAINING, ["train.json", "demo.json"], options, folder)
    assert "Epoch[2]" in said
    return folder / "run"


@pytest.mark.slow
def test_pretraining_leaves_a_backbone_a_checkpoint_and_a_history(pretrained, slices):
    assert {"model.pt", "model.json", "checkpoint.pt", "history.jsonl"} <= {path.name for path in pretrained.iterdir()}
    history = read_history(pretrained / "history.jsonl")
    assert [line["epoch"] for line in history] == [0, 1, 2]
    assert {"loss", "accuracy", "nonzero", "skipped", "clean_accuracy", "objective_gap", "embedding_spread"} <= history[
        -1
    ].keys()
    record = json.loads((pretrained / "model.json").read_text())
    assert record["preset"] == "stable"
    assert record["iterations"] == 4


@pytest.mark.slow
def test_pretraining_evaluates_and_infers(pretrained, slices, tmp_path):
    options = {**TINY_PRETRAINING, "dataset_dir": slices, "run_dir": pretrained, "output_file": tmp_path / "out.json"}
    options["probe_every_mm"] = 0
    succeed(PRETRAINING, ["train.json", "demo.json", "evaluate.json"], options, tmp_path)
    assert set(json.loads((tmp_path / "out.json").read_text())) == {
        f"unseen_mild_{m}" for m in ("accuracy", "retrieval", "rank")
    }
    inference = {
        **TINY,
        "dataset_dir": slices,
        "ckpt_path": pretrained / "model.pt",
        "output_dir": tmp_path,
        "view_size": 32,
    }
    succeed(PRETRAINING, ["inference.json"], inference, tmp_path)
    table = parquet.read_table(tmp_path / "features.parquet")
    assert sorted(table["slice_id"].to_pylist()) == sorted(read_manifest(slices)["slice_id"].to_pylist())
    assert np.isfinite(table["features"].combine_chunks().flatten().to_numpy()).all()


@pytest.mark.slow
def test_pretraining_goes_on_where_it_stopped(pretrained, slices, tmp_path):
    options = {**TINY_PRETRAINING, "epochs": 3, "dataset_dir": slices, "run_dir": pretrained, "probes": "[]"}
    assert "resumed after epoch 2" in succeed(PRETRAINING, ["train.json", "demo.json"], options, tmp_path)
    assert [line["epoch"] for line in read_history(pretrained / "history.jsonl")] == [0, 1, 2, 3]


@pytest.mark.slow
def test_fine_tuning_evaluation_and_inference_on_dicom(pretrained, datalist, tmp_path):
    sizes = {**TINY, "slice_size": "[64,64]", "pixel_mm": 6, "epochs": 1, "epoch_length": 1, "slices_per_volume": 4}
    options = {**sizes, "dataset_dir": datalist, "run_dir": tmp_path / "run"}
    training = {**options, "backbone_weights": pretrained / "model.pt"}
    assert "from model.pt into ResNetEncoder" in succeed(SEGMENTATION, ["train.json", "demo.json"], training, tmp_path)
    evaluation = {**options, "ckpt_path": tmp_path / "run" / "model_final.pt"}
    succeed(SEGMENTATION, ["train.json", "demo.json", "evaluate.json"], evaluation, tmp_path)
    assert (tmp_path / "run" / "eval" / "val_mean_dice_raw.csv").is_file()
    (mask,) = (tmp_path / "run" / "eval").glob("*_seg.nii.gz")
    truth = nib.load(DATA / "abdomen_ct_dicom" / "organs.nii.gz")
    assert sorted(nib.load(mask).shape) == sorted(truth.shape)
    scans = tmp_path / "scans"
    scans.mkdir()
    (scans / "series").symlink_to(DATA / "abdomen_ct_dicom" / "series")
    inference = {
        **TINY,
        "slice_size": "[64,64]",
        "pixel_mm": 6,
        "dataset_dir": scans,
        "ckpt_path": tmp_path / "run" / "model_final.pt",
        "output_dir": tmp_path / "masks",
    }
    succeed(SEGMENTATION, ["inference.json"], inference, tmp_path)
    (inferred,) = (tmp_path / "masks").glob("*_seg.nii.gz")
    differ = np.asarray(nib.load(inferred).dataobj) != np.asarray(nib.load(mask).dataobj)
    assert differ.mean() < 1e-5  # ties of a hardly trained network: memory layouts differ


@pytest.mark.slow
@pytest.mark.parametrize("bundle", [PRETRAINING, SEGMENTATION], ids=lambda path: path.name)
def test_two_processes_train_together(bundle, slices, datalist, tmp_path):
    launcher = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nnodes=1", "--nproc_per_node=2")
    options = {**TINY_PRETRAINING, "batch_size": 8, "recipe::graph_size": 8, "dataset_dir": slices, "probes": "[]"}
    if bundle == SEGMENTATION:
        options = {
            **TINY,
            "slice_size": "[64,64]",
            "pixel_mm": 6,
            "epochs": 1,
            "epoch_length": 1,
            "dataset_dir": datalist,
        }
    options["run_dir"] = tmp_path / "run"
    succeed(bundle, ["train.json", "demo.json", "multi_gpu_train.json"], options, tmp_path, launcher=launcher)
    assert (tmp_path / "run" / ("model.pt" if bundle == PRETRAINING else "model_final.pt")).is_file()


def broken_mask(folder):
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), np.uint8), np.eye(4)), folder / "mask.nii.gz")
    pair = {"image": str(DATA / "abdomen_ct" / "ct.nii.gz"), "label": "mask.nii.gz"}
    (folder / "dataset.json").write_text(json.dumps({"training": [pair], "validation": [pair]}))
    return {"dataset_dir": folder}


def corrupt_series(folder):
    (folder / "series").mkdir()
    (source,) = sorted((DATA / "brain_mr_dicom").glob("*_010.dcm"))
    (folder / "series" / "slice.dcm").write_bytes(source.read_bytes()[:3000])
    pair = {"image": "series", "label": str(DATA / "abdomen_ct" / "organs.nii.gz")}
    (folder / "dataset.json").write_text(json.dumps({"training": [pair], "validation": [pair]}))
    return {"dataset_dir": folder}


BAD_INPUT = {
    "no slices": (PRETRAINING, lambda folder: {"dataset_dir": folder}, "manifest"),
    "unknown preset": (
        PRETRAINING,
        lambda folder: {"preset": "magic"},
        ", got 'magic'",
    ),
    "k not smaller than the graph": (
        PRETRAINING,
        lambda folder: {"recipe::k": 16},
        "k must be less than graph_size, got k = 16",
    ),
    "fewer slices than a batch": (
        PRETRAINING,
        lambda folder: {"batch_size": 64},
        "19 training slices do not fill one batch of 64",
    ),
    "batch smaller than a graph": (
        PRETRAINING,
        lambda folder: {"batch_size": 8},
        "a batch of 8 images holds no graph of 16 nodes",
    ),
    "weights that do not fit": (
        PRETRAINING,
        lambda folder: {"init_weights": folder / "absent.pt"},
        "no backbone weights at",
    ),
    "mask of another shape": (SEGMENTATION, broken_mask, "mask mask.nii.gz does not lie on the grid of ct.nii.gz"),
    "corrupt DICOM": (SEGMENTATION, corrupt_series, "series holds 0 volumes, expected one"),
    "no datalist": (SEGMENTATION, lambda folder: {"dataset_dir": folder}, "no datalist dataset.json"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("bundle", "spoil", "message"), BAD_INPUT.values(), ids=BAD_INPUT.keys())
def test_bad_input_gets_one_message_before_training_starts(bundle, spoil, message, slices, datalist, tmp_path):
    options = (
        {**TINY_PRETRAINING, "dataset_dir": slices, "probes": "[]"}
        if bundle == PRETRAINING
        else {**TINY, "dataset_dir": datalist}
    )
    options |= {"run_dir": tmp_path / "run", **spoil(tmp_path)}
    code, said = run(bundle, ["train.json", "demo.json"], options, tmp_path)
    assert code != 0
    errors = re.findall(rf"^\w+Error: .*{re.escape(message)}.*$", said, flags=re.MULTILINE)
    assert len(errors) == 1, said[-2000:]
    assert "Epoch[1]" not in said
