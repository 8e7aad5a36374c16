"""The settings that methods were published with, held against the configurations."""

from __future__ import annotations

import pytest
import torch
from monai.bundle import ConfigParser

from lvm_med_monai.bundles.json_text import read_json
from tests.bundles.conftest import ROOT

BASELINES, RAD_DINO, LVM_MED = (
    ROOT / "bundles" / f"{name}_pretraining" / "configs" for name in ("ssl_baseline", "rad_dino", "lvm_med")
)
MULTI_CROP = {"view_size": 224, "local_size": 96, "global_area": [0.14, 1.0], "local_area": [0.05, 0.14]}
PUBLISHED = {
    "simclr": {
        "temperature": 0.1,
        "learning_rate": 0.3,
        "weight_decay": 1e-6,
        "hidden_features": 2048,
        "features": 128,
    },
    "moco_v2": {
        **{"temperature": 0.2, "queue_size": 65536, "momentum": [0.999, 0.999], "learning_rate": 0.03},
        **{"weight_decay": 1e-4, "warm_up_epochs": 0, "hidden_features": 2048, "features": 128, "local_views": 0},
    },
    "barlow_twins": {"redundancy_weight": 0.0051, "learning_rate": 0.2, "hidden_features": 8192, "features": 8192},
    "dino": {
        **MULTI_CROP,
        **{"local_views": 8, "temperature": 0.1, "teacher_temperature": [0.04, 0.04], "momentum": [0.996, 1.0]},
        **{"prototypes": 65536, "features": 256, "frozen_epochs": 1, "gradient_norm": 3.0, "learning_rate": 0.03},
        **{"centre_momentum": 0.9, "weight_decay": 1e-4, "keep": "teacher"},
    },
    "swav": {
        **MULTI_CROP,
        **{"local_views": 6, "temperature": 0.1, "sinkhorn_epsilon": 0.05, "sinkhorn_iterations": 3, "features": 128},
        **{"prototypes": 3000, "queue_size": 3840, "queue_from": 15, "frozen_epochs": 1, "learning_rate": 0.6},
        **{"weight_decay": 1e-6, "final_learning_rate": 0.0006},
    },
    "deepcluster_v2": {
        **MULTI_CROP,
        **{"local_views": 6, "temperature": 0.1, "cluster_iterations": 10, "prototypes": 3000, "features": 128},
        **{"learning_rate": 4.8 / 16, "weight_decay": 1e-6, "warm_up_epochs": 10},
    },
    "vicregl": {
        **{"coefficients": [25.0, 25.0, 1.0], "alpha": 0.9, "matches": [20, 4], "hidden_features": 8192},
        **{"features": 8192, "map_features": 512, "global_area": [0.08, 1.0], "learning_rate": 0.3},
        **{"weight_decay": 1e-6, "warm_up_epochs": 10, "local_views": 0},
    },
}
DINOV2 = {
    **{"patch_size": 14, "dim": 768, "depth": 12, "heads": 12, "drop_path": 0.3, "layer_scale": 1e-5},
    **{"global_area": [0.32, 1.0], "local_area": [0.05, 0.32], "local_views": 8, "view_size": 224},
    **{"mask_probability": 0.5, "mask_ratio": [0.1, 0.5], "loss_weights": [1.0, 1.0, 0.1], "gradient_norm": 3.0},
    **{"momentum": [0.992, 1.0], "teacher_temperature": [0.04, 0.07], "teacher_warm_up_epochs": 30},
    **{"learning_rate": 0.004, "layer_decay": 0.9, "patch_factor": 0.2, "weight_decay": [0.04, 0.4]},
    **{"hidden_features": 2048, "features": 256, "prototypes": 65536, "frozen_epochs": 1, "warm_up_epochs": 10},
}
RAD_DINO_CARD = {"image_size": 518, "stored_size": 518, "batch_size": 2560 // 64}


def settings(folder, *names):
    merged = {}
    for name in names:
        merged |= read_json(folder / name)
    return merged


def differences(found, published):
    return {name: (found.get(name), value) for name, value in published.items() if found.get(name) != value}


@pytest.mark.parametrize("method", PUBLISHED)
def test_methods_have_their_published_settings(method):
    found = settings(BASELINES, "train.json", f"{method}.json")
    common = {"depth": 50, "width": 64, "epochs": 100, "method": method}
    assert differences(found, common | PUBLISHED[method]) == {}


def test_rad_dino_has_the_defaults_of_dinov2_and_what_its_card_states():
    found = settings(RAD_DINO, "train.json")
    assert differences(found, DINOV2 | RAD_DINO_CARD) == {}
    assert found["schedule_epochs"] * found["epoch_length"] == 100_000
    assert found["epochs"] * found["epoch_length"] == 35_000
    large = settings(RAD_DINO, "train.json", "rad_dino_518.json")
    assert large["view_size"] == 518
    assert large["view_size"] % large["patch_size"] == large["local_size"] % large["patch_size"] == 0


def test_lvm_meds_vit_b_has_the_papers_batch():
    assert read_json(LVM_MED / "vit_b.json")["batch_size"] * 16 == 2800
    assert read_json(LVM_MED / "train.json")["learning_rate"] == 0.002


@pytest.mark.parametrize("folder", [BASELINES, RAD_DINO], ids=["baselines", "rad_dino"])
def test_the_sizes_of_the_demo_are_sizes_of_the_training(folder):
    known = settings(folder, "train.json")
    assert [key for key in read_json(folder / "demo.json") if key not in known] == []


PARALLEL = [
    (folder, path.stem)
    for folder in (BASELINES, RAD_DINO, LVM_MED)
    for path in sorted(folder.glob("*.json"))
    if path.stem not in ("metadata", "inference", "evaluate", "multi_gpu_train", "demo")
]


@pytest.mark.parametrize(("folder", "overlay"), PARALLEL, ids=[f"{f.parent.name}-{name}" for f, name in PARALLEL])
def test_several_processes_fit_every_overlay(folder, overlay, monkeypatch):
    """What a process has of its own is seeded by its rank, and kept for it in the checkpoint."""
    monkeypatch.setattr("torch.distributed.get_rank", lambda: 3)
    parser = ConfigParser()
    parser.read_config([str(folder / f"{name}.json") for name in ("train", overlay, "demo", "multi_gpu_train")])
    parser["network"], parser["train::sampler::world_size"] = "@network_def", 4
    parser["slices"] = {"_target_": f"{__name__}.Slices"}
    kept = parser.get_parsed_content(f"train::handlers::{2 if folder == LVM_MED else 1}").rank_objects
    assert {"views", "sampler"} <= kept.keys()
    for name, thing in kept.items():
        for key, state in thing.state_dict().items():
            if "generator" in key:
                seed = 3 + (1_000_003 if key == "generator_1" else 0)
                assert torch.equal(state, torch.Generator().manual_seed(seed).get_state()), name
    if folder == LVM_MED and overlay != "simclr":
        assert kept["objective"].state_dict()["loss._extra_state"].tolist() == [3, 0]
    assert ("objective" in kept) == (folder == LVM_MED or overlay in ("swav", "moco_v2"))


class Slices:
    """A data set of 400 slices, as far as samplers look at it."""

    @property
    def rows(self):
        return self

    def column(self, name):
        return [str(index) for index in range(400)]

    def groups(self, *names):
        return [("MR", "one")] * 400

    def __len__(self):
        return 400
