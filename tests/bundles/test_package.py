"""Packaged bundles hold the weights and the sizes that they were trained with."""

from __future__ import annotations

import json

import pytest
import torch
from monai.bundle import ConfigParser

from lvm_med_monai.bundles import package
from lvm_med_monai.bundles.__main__ import main
from tests.bundles.conftest import SEGMENTATION
from tests.bundles.harness import configs


def network_of(bundle, *names):
    parser = ConfigParser()
    parser.read_config(configs(bundle, *names))
    return parser.get_parsed_content("network_def")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "run.pt"
    torch.save(network_of(SEGMENTATION, "inference.json", "demo.json").state_dict(), path)
    return path


def test_a_packaged_bundle_needs_no_overlay(weights, tmp_path):
    out = package(SEGMENTATION, tmp_path / "packaged" / SEGMENTATION.name, weights, ["demo.json"])
    state = torch.load(out / "models" / "model.pt", weights_only=True)
    network = network_of(out, "inference.json")
    network.load_state_dict(state)
    source, demo = (
        json.loads((SEGMENTATION / "configs" / name).read_text()) for name in ("inference.json", "demo.json")
    )
    packaged = json.loads((out / "configs" / "inference.json").read_text())
    assert packaged.keys() == source.keys()
    assert {key: packaged[key] for key in demo.keys() & packaged.keys()} == {
        key: demo[key] for key in demo.keys() & source.keys()
    }
    assert {path.name for path in out.iterdir()} == {"configs", "docs", "models", "LICENSE"}


def test_the_command_packages(weights, tmp_path, capsys):
    out = tmp_path / "b_segmentation"
    assert main(["package", str(SEGMENTATION), str(out), "--weights", str(weights), "--overlay", "demo.json"]) == 0
    assert f"wrote {out}" in capsys.readouterr().out


CASES = {
    "weights of another size": (lambda f: {"overlays": ()}, ValueError, "run.pt does not fit the network"),
    "no weights": (lambda f: {"weights": f / "absent.pt"}, FileNotFoundError, "absent.pt does not exist"),
    "no overlay": (lambda f: {"overlays": ["huge.json"]}, FileNotFoundError, "huge.json does not exist"),
    "no bundle": (lambda f: {"bundle": f}, FileNotFoundError, "is no bundle"),
    "taken folder": (lambda f: {"out": f}, FileExistsError, "name a new folder"),
}


@pytest.mark.parametrize(("change", "error", "message"), CASES.values(), ids=CASES.keys())
def test_bad_input_leaves_nothing_behind(change, error, message, weights, tmp_path):
    arguments = {"bundle": SEGMENTATION, "out": tmp_path / "out", "weights": weights, "overlays": ["demo.json"]}
    with pytest.raises(error, match=message):
        package(**{**arguments, **change(tmp_path)})
    assert list(tmp_path.iterdir()) == []


def test_lists_of_an_overlay_are_added(tmp_path, weights):
    source = tmp_path / SEGMENTATION.name
    package(SEGMENTATION, source, weights, ["demo.json"])
    (source / "configs" / "more.json").write_text(
        json.dumps({"+imports": ["$import os"], "train::x": 1, "elsewhere": 2})
    )
    out = package(source, tmp_path / "out", weights, ["more.json"])
    packaged = json.loads((out / "configs" / "train.json").read_text())
    assert packaged["imports"][-1] == "$import os"
    assert packaged["train"]["x"] == 1
    assert "elsewhere" not in packaged
