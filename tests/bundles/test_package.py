"""Packaged bundles hold the weights and the sizes that they were trained with."""

from __future__ import annotations

import json

import pytest
import torch
from monai.bundle import ConfigParser

from lvm_med_monai.bundles import package
from lvm_med_monai.bundles.__main__ import main
from lvm_med_monai.bundles.contract import SUPPLIES
from lvm_med_monai.bundles.json_text import read_json
from lvm_med_monai.bundles.package import WAYS_TO_RUN, _laid_over
from lvm_med_monai.bundles.references import references_in, unresolved
from tests.bundles.conftest import BUNDLES, ROOT, SEGMENTATION
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
    "garbage for weights": (
        lambda f: {"weights": ROOT / "LICENSE"},
        ValueError,
        "LICENSE cannot be read as weights",
    ),
    "way to run": (
        lambda f: {"overlays": ["demo.json", "multi_gpu_train.json"]},
        ValueError,
        "multi_gpu_train.json says how a bundle runs, not what was trained",
    ),
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


OVERLAYS = [
    (bundle, path.name)
    for bundle in BUNDLES
    for path in sorted((bundle / "configs").glob("*.json"))
    if path.name not in (*SUPPLIES, *WAYS_TO_RUN)
]


@pytest.mark.parametrize("file", ["train.json", "inference.json"])
@pytest.mark.parametrize(("bundle", "overlay"), OVERLAYS, ids=[f"{bundle.name}-{name}" for bundle, name in OVERLAYS])
def test_every_overlay_brings_the_ids_that_it_refers_to(bundle, overlay, file):
    config, values = (read_json(bundle / "configs" / name) for name in (file, overlay))
    packaged = _laid_over(config, [values])
    assert unresolved(packaged) == []
    for key in packaged.keys() - config.keys():
        assert packaged[key] == values[key]
        assert key in references_in(packaged)


def test_ids_are_brought_step_by_step_and_only_where_they_are_needed():
    overlays = [
        {"far": "@base", "unused": "@far", "base": 1},
        {"near": {"y": "@far"}, "a": "$@near", "near::x": 2, "b::c": 3},
    ]
    assert _laid_over({"a": 0}, overlays) == {
        "a": "$@near",
        "near": {"y": "@far", "x": 2},
        "far": "@base",
        "base": 1,
    }


def test_a_reference_to_nothing_is_named(weights, tmp_path, capsys):
    source = tmp_path / SEGMENTATION.name
    package(SEGMENTATION, source, weights, ["demo.json"])
    (source / "configs" / "more.json").write_text(json.dumps({"train::x": "@absent::y", "train::z": "$[@batch_sizes]"}))
    out = tmp_path / "out"
    assert main(["package", str(source), str(out), "--weights", str(weights), "--overlay", "more.json"]) == 2
    said = capsys.readouterr().err
    assert "train.json with the overlays more.json refers to absent::y, batch_sizes, which nothing sets" in said
    assert not out.exists()


def test_class_names_must_be_a_list(weights, tmp_path):
    source = tmp_path / SEGMENTATION.name
    package(SEGMENTATION, source, weights, ["demo.json"])
    (source / "configs" / "more.json").write_text(json.dumps({"class_names": "liver"}))
    with pytest.raises(ValueError, match="class_names must be a list of names, got 'liver'"):
        package(source, tmp_path / "out", weights, ["more.json"])


def test_the_command_names_weights_that_are_none(tmp_path, capsys):
    (tmp_path / "model.pt").write_bytes(b"\x80\x02nothing")
    assert main(["package", str(SEGMENTATION), str(tmp_path / "out"), "--weights", str(tmp_path / "model.pt")]) == 2
    assert "error: model.pt cannot be read as weights" in capsys.readouterr().err
