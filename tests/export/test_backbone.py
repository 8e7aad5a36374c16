from __future__ import annotations

import hashlib
import json

import torch

from lvm_med_monai.export import save_backbone
from lvm_med_monai.networks import ResNetEncoder, load_backbone


def test_what_is_saved_loads_again_and_the_record_tells_where_it_comes_from(tmp_path):
    encoder = ResNetEncoder(18, width=8)
    path = save_backbone(encoder, tmp_path / "run" / "model.pt", {"preset": "stable", "seed": 3})
    loaded = load_backbone(ResNetEncoder(18, width=8), path)
    torch.testing.assert_close(dict(loaded.state_dict()), dict(encoder.state_dict()))
    record = json.loads(path.with_suffix(".json").read_text())
    assert record["network"] == "ResNetEncoder"
    assert record["tensors"] == len(encoder.state_dict())
    assert (record["preset"], record["seed"]) == ("stable", 3)
    assert record["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert record["versions"].keys() == {"lvm_med_monai", "monai", "torch"}


def test_nothing_partial_is_left_behind(tmp_path):
    save_backbone(ResNetEncoder(18, width=8), tmp_path / "model.pt")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.pt"]
