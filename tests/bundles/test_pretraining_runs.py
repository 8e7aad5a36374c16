"""The self-supervised bundles in one process: every method learns, resumes exactly, keeps its embeddings apart."""

from __future__ import annotations

import json
import math
import shutil

import pytest
import torch
from ignite.engine import Events
from monai.bundle import ConfigWorkflow
from monai.bundle.config_parser import ConfigParser
from monai.transforms import CenterSpatialCrop, Compose, Resized, SpatialPadd
from pyarrow import parquet

from lvm_med_monai.data import SliceShardDataset, whole_range
from lvm_med_monai.handlers import read_history
from lvm_med_monai.networks import DinoViTEncoder, ResNetEncoder, load_backbone
from lvm_med_monai.transforms import ShorterSided, normalise
from tests.bundles.conftest import PRETRAINING, ROOT
from tests.bundles.harness import TORCHRUN, configs, succeed

BASELINES = ROOT / "bundles" / "ssl_baseline_pretraining"
RAD_DINO = ROOT / "bundles" / "rad_dino_pretraining"
METHODS = ("simclr", "moco_v2", "barlow_twins", "dino", "swav", "deepcluster_v2", "vicregl")
RUNS = [(BASELINES, method) for method in METHODS] + [(RAD_DINO, None)]
every_run = pytest.mark.parametrize(("bundle", "overlay"), RUNS, ids=[*METHODS, "rad_dino"])
pytestmark = pytest.mark.slow
MULTI_CROP = ("dino", "swav", "deepcluster_v2", "vicregl")
FALLING = ("simclr", "barlow_twins", "vicregl")
"""Methods whose loss has the same meaning from step to step: no queue, centre or clusters move."""
COLLAPSED = 0.05
"""Spread of embeddings (1 is even) below which all images look the same to a network."""


def workflow(bundle, names, data, folder, **overrides):
    """A workflow that is initialised in this process; runs go on where a folder's checkpoint is."""
    built = ConfigWorkflow(
        config_file=configs(bundle, *names),
        meta_file=str(bundle / "configs" / "metadata.json"),
        logging_file=str(bundle / "configs" / "logging.conf"),
        workflow_type="infer" if names[0] == "inference.json" else "train",
        bundle_root=str(bundle),
        dataset_dir=str(data),
        **({} if names[0] == "inference.json" else {"run_dir": str(folder)}),
        **overrides,
    )
    built.initialize()
    return built


def names_of(overlay):
    return ["train.json", *([f"{overlay}.json"] if overlay else []), "demo.json"]


def train(bundle, overlay, data, folder, copy_after_two=None):
    """Three epochs; returns the checkpoint. What the folder holds after two may be copied, as if a run ended there."""
    overrides = {"local_views": 2} if overlay in MULTI_CROP else {}
    built = workflow(bundle, names_of(overlay), data, folder, epochs=3, epoch_length=10, **overrides)
    if copy_after_two is not None:
        trainer = built.parser.get_parsed_content("train::trainer")
        trainer.add_event_handler(Events.EPOCH_COMPLETED(once=2), lambda _: shutil.copytree(folder, copy_after_two))
    built.run()
    return torch.load(folder / "checkpoint.pt", weights_only=True)


def same(a, b):
    if isinstance(a, torch.Tensor):
        torch.testing.assert_close(a, b)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            same(a[key], b[key])
    elif isinstance(a, list | tuple):
        for first, second in zip(a, b, strict=True):
            same(first, second)
    else:
        assert a == b


@every_run
def test_thirty_steps_resume_exactly_and_do_not_collapse(bundle, overlay, slices, tmp_path):
    whole = train(bundle, overlay, slices, tmp_path / "whole", tmp_path / "parts")
    history = read_history(tmp_path / "whole" / "history.jsonl")
    assert [line["epoch"] for line in history] == [0, 1, 2, 3]
    assert all(math.isfinite(line["loss"]) for line in history[1:])
    assert history[-1]["embedding_spread"] > COLLAPSED
    assert overlay not in FALLING or history[-1]["loss"] < history[1]["loss"]
    assert [line["epoch"] for line in read_history(tmp_path / "parts" / "history.jsonl")] == [0, 1, 2]
    same(train(bundle, overlay, slices, tmp_path / "parts"), whole)
    same(read_history(tmp_path / "parts" / "history.jsonl"), history)
    record = json.loads((tmp_path / "whole" / "model.json").read_text())
    assert record["method"] == (overlay or "rad_dino")
    assert record["iterations"] == 30
    if bundle == RAD_DINO:
        encoder = DinoViTEncoder(image_size=56, dim=32, depth=4, heads=2)
    else:
        encoder = ResNetEncoder(18, width=8)
    load_backbone(encoder, tmp_path / "whole" / "model.pt")  # exact, or an error
    branch = "teacher" if overlay in (None, "dino") else "student"
    kept = {
        key.removeprefix(f"{branch}.encoder."): value
        for key, value in whole["objects"]["network"].items()
        if key.startswith(f"{branch}.encoder.")
    }
    same(dict(encoder.state_dict()), kept)


def test_rad_dino_evaluates_infers_and_publishes_its_slices(slices, tmp_path):
    workflow(RAD_DINO, names_of(None), slices, tmp_path).run()
    listed = (tmp_path / "training_slices.csv").read_text().splitlines()
    assert listed[0] == "slice_id,source_h,patient_h,dataset"
    assert len(listed) == 1 + 19
    names = ["train.json", "demo.json", "evaluate.json"]
    workflow(RAD_DINO, names, slices, tmp_path, label_field="modality").run()
    metrics = json.loads((tmp_path / "eval" / "metrics.json").read_text())
    assert metrics.keys() == {"unseen_mild_accuracy", "unseen_mild_retrieval", "unseen_mild_rank", "neighbour_accuracy"}
    assert metrics["neighbour_accuracy"] == 1  # one modality
    with pytest.raises(RuntimeError, match="check_unseen") as error:
        workflow(RAD_DINO, names, slices, tmp_path, val_section="train")
    assert "19 of 19 slices of the evaluation share a slice_id" in str(error.value.__cause__)
    options = {"ckpt_path": str(tmp_path / "model.pt"), "output_dir": str(tmp_path / "out")}
    workflow(RAD_DINO, ["inference.json", "demo.json"], slices, tmp_path, **options).run()
    table = parquet.read_table(tmp_path / "out" / "features.parquet")
    assert table.num_rows == 19 + 25
    assert len(table["features"][0]) == 32


@pytest.mark.parametrize("bundle", [BASELINES, RAD_DINO], ids=lambda path: path.name)
def test_features_are_those_of_the_normalised_image(bundle, slices, tmp_path):
    torch.manual_seed(0)
    if bundle == RAD_DINO:
        encoder, sizes = DinoViTEncoder(image_size=56, dim=32, depth=4, heads=2, layer_scale=1.0), {"view_size": 56}
        prepare, settings = ShorterSided("image", 56), {"window": whole_range}
    else:
        encoder, sizes = ResNetEncoder(18, width=8), {"view_size": 32}
        prepare = Compose(
            [
                Resized("image", 32, size_mode="longest", mode="bilinear", anti_aliasing=True),
                SpatialPadd("image", (32, 32)),
            ]
        )
        settings = {}
    torch.save(encoder.state_dict(), tmp_path / "model.pt")
    options = {"ckpt_path": str(tmp_path / "model.pt"), "output_dir": str(tmp_path / "out"), **sizes}
    workflow(bundle, ["inference.json", "demo.json"], slices, tmp_path, **options).run()
    table = parquet.read_table(tmp_path / "out" / "features.parquet").to_pylist()
    written = {row["slice_id"]: row["features"] for row in table}
    for item in list(SliceShardDataset(slices, transform=prepare, **settings))[::10]:
        image = torch.as_tensor(item["image"]).float()
        if bundle == RAD_DINO:
            image = CenterSpatialCrop((56, 56))((image - image.min()) / (image.max() - image.min()))
        with torch.no_grad():
            expected = encoder.eval()(normalise(torch.as_tensor(image).expand(3, -1, -1)[None]))[0]
        torch.testing.assert_close(torch.tensor(written[item["slice_id"]]), expected, atol=1e-4, rtol=1e-4)


def test_the_teacher_starts_from_the_given_weights(slices, tmp_path):
    torch.manual_seed(3)
    start = DinoViTEncoder(image_size=56, dim=32, depth=4, heads=2).state_dict()
    torch.save(start, tmp_path / "start.pt")
    still = {"learning_rate": 0.0, "final_learning_rate": 0.0, "init_weights": str(tmp_path / "start.pt")}
    workflow(RAD_DINO, names_of(None), slices, tmp_path / "run", **still).run()
    same(torch.load(tmp_path / "run" / "model.pt", weights_only=True), dict(start))


def test_rad_dino_excludes_the_patients_of_a_list(slices, tmp_path):
    def shared(**overrides):
        parser = ConfigParser()
        parser.read_config(configs(RAD_DINO, "train.json", "demo.json"))
        parser.update({"bundle_root": str(RAD_DINO), "dataset_dir": str(slices), **overrides})
        return parser.get_parsed_content("slices")

    everything = shared()
    unwanted = tmp_path / "unwanted.txt"
    unwanted.write_text("\n".join(everything.rows.column("slice_id")[:3]) + "\n")
    left = shared(exclude=str(unwanted), exclude_field="slice_id")
    assert left.excluded == 3
    assert set(left.rows.column("slice_id")) == set(everything.rows.column("slice_id")[3:])
    with pytest.raises(RuntimeError, match="ExcludingSliceDataset") as error:
        shared(exclude=str(unwanted))
    assert "none of the 3 values in unwanted.txt is a patient_h" in str(error.value.__cause__)


def test_vit_b_takes_two_steps_of_graph_matching(slices, tmp_path):
    tiny = {"image_size": 64, "dim": 32, "depth": 4, "heads": 2, "window": 3}
    sizes = {"vit": tiny, "batch_size": 16, "view_size": 32, "stored_size": 40, "epochs": 1, "epoch_length": 2}
    small = {**sizes, "recipe::graph_size": 8, "num_workers": 0, "probes": []}
    workflow(PRETRAINING, ["train.json", "vit_b.json"], slices, tmp_path, **small).run()
    state = torch.load(tmp_path / "model.pt", weights_only=True)
    assert state["blocks.3.attn.rel_pos_h"].shape == (7, 16)
    (_, last) = read_history(tmp_path / "history.jsonl")
    assert math.isfinite(last["loss"])
    assert last["iteration"] == 2


def test_missing_lightly_is_said_before_anything_is_loaded(slices, tmp_path, monkeypatch):
    monkeypatch.setattr("lvm_med_monai.losses.requirements.find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match="require_lightly") as error:
        workflow(BASELINES, ["train.json", "demo.json"], tmp_path / "no_slices_either", tmp_path)
    assert "pip install 'lvm-med-monai[ssl]'" in str(error.value.__cause__)


def test_two_processes_train_a_method_that_shares_a_memory(slices, tmp_path):
    options = {"batch_size": 8, "dataset_dir": slices, "run_dir": tmp_path / "run"}
    files = ["train.json", "deepcluster_v2.json", "demo.json", "multi_gpu_train.json"]
    succeed(BASELINES, files, options, tmp_path, launcher=TORCHRUN)
    saved = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    memory = saved["objects"]["objective"]["memory"]
    torch.testing.assert_close(memory.norm(dim=-1), torch.ones(2, 19))
