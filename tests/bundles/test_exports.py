"""The Model Zoo's own checks, on the sizes of the demo."""

from __future__ import annotations

import os
import shutil

import onnx
import pytest
import torch
from monai.bundle import ConfigWorkflow, ckpt_export, onnx_export, verify_metadata, verify_net_in_out
from monai.bundle.config_parser import ConfigParser

from tests.bundles.conftest import BUNDLES, PRETRAINING, SEGMENTATION, configs

SMALL = {"depth": 18, "width": 32}
every_bundle = pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
pytestmark = pytest.mark.filterwarnings("ignore")  # torch.jit and the exporters warn about their own future


def inference_parser(bundle, overrides):
    parser = ConfigParser()
    parser.read_config(configs(bundle, "inference.json"))
    parser.update(overrides)
    return parser


@pytest.mark.slow
@every_bundle
def test_verify_net_in_out_at_full_size(bundle):
    verify_net_in_out(
        "network_def",
        meta_file=str(bundle / "configs" / "metadata.json"),
        config_file=configs(bundle, "inference.json"),
        device="cpu",
        n=2,
    )


@every_bundle
def test_verify_metadata(bundle, tmp_path):
    schema = os.environ.get("MONAI_BUNDLE_SCHEMA")
    if schema is None:
        pytest.skip(
            "MONAI_BUNDLE_SCHEMA does not name a copy of meta_schema_20240725.json, which needs a network to get"
        )
    shutil.copy(schema, tmp_path / "schema.json")
    verify_metadata(meta_file=str(bundle / "configs" / "metadata.json"), filepath=str(tmp_path / "schema.json"))


@pytest.mark.slow
@every_bundle
def test_ckpt_export_gives_the_same_numbers(bundle, tmp_path):
    network = inference_parser(bundle, SMALL).get_parsed_content("network_def").eval()
    torch.save(network.state_dict(), tmp_path / "model.pt")
    ckpt_export(
        "network_def",
        filepath=str(tmp_path / "model.ts"),
        ckpt_file=str(tmp_path / "model.pt"),
        meta_file=str(bundle / "configs" / "metadata.json"),
        config_file=configs(bundle, "inference.json"),
        **SMALL,
    )
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(torch.jit.load(tmp_path / "model.ts")(images), network(images))


@pytest.mark.slow
@every_bundle
def test_onnx_export_writes_a_model_that_onnx_accepts(bundle, tmp_path):
    network = inference_parser(bundle, SMALL).get_parsed_content("network_def")
    torch.save(network.state_dict(), tmp_path / "model.pt")
    onnx_export(
        "network_def",
        filepath=str(tmp_path / "model.onnx"),
        ckpt_file=str(tmp_path / "model.pt"),
        meta_file=str(bundle / "configs" / "metadata.json"),
        config_file=configs(bundle, "inference.json"),
        input_shape=[1, 3, 64, 64],
        **SMALL,
    )
    onnx.checker.check_model(str(tmp_path / "model.onnx"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["train", "infer"])
@every_bundle
def test_check_properties_finds_nothing_missing(bundle, kind, slices, datalist, tmp_path):
    data = {PRETRAINING: slices, SEGMENTATION: datalist}[bundle]
    names = ("train.json", "demo.json") if kind == "train" else ("inference.json",)
    overrides = {"bundle_root": str(bundle), "dataset_dir": str(data), "run_dir": str(tmp_path), **SMALL}
    if bundle == PRETRAINING and kind == "train":
        overrides |= {"batch_size": 16, "recipe::graph_size": 16}
        overrides["probes"] = []
    if kind == "infer":
        del overrides["run_dir"]
        network = inference_parser(bundle, SMALL).get_parsed_content("network_def")
        torch.save(network.state_dict(), tmp_path / "model.pt")
        overrides["ckpt_path"] = str(tmp_path / "model.pt")
    workflow = ConfigWorkflow(
        config_file=configs(bundle, *names),
        meta_file=str(bundle / "configs" / "metadata.json"),
        logging_file=str(bundle / "configs" / "logging.conf"),
        workflow_type=kind,
        **overrides,
    )
    workflow.initialize()
    assert not workflow.check_properties()
