"""The settings that methods were published with, held against the configurations."""

from __future__ import annotations

import pytest

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
