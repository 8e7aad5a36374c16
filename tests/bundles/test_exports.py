"""The Model Zoo's own checks; exports with the sizes of ``demo.json``."""

from __future__ import annotations

import os
import shutil
import warnings

import onnx
import pytest
import torch
from monai.bundle import ConfigWorkflow, ckpt_export, onnx_export, verify_metadata, verify_net_in_out
from monai.bundle.config_parser import ConfigParser
from monai.bundle.scripts import _get_fake_spatial_shape
from torch.jit.frontend import NotSupportedError

from lvm_med_monai.bundles import violations
from lvm_med_monai.bundles.json_text import json_text, read_json
from tests.bundles.conftest import BUNDLES, SEGMENTATION, SHORT, samples_of
from tests.bundles.harness import configs

SIZES = ("inference.json", "demo.json")
every_bundle = pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # torch.jit and the exporters warn about their own future
]


def network_of(bundle):
    parser = ConfigParser()
    parser.read_config(configs(bundle, *SIZES))
    torch.manual_seed(0)
    return parser.get_parsed_content("network_def").eval()


def metadata_of(bundle):
    return read_json(bundle / "configs" / "metadata.json")


def image_for(bundle):
    """Random image of the shape that the metadata promises."""
    form = metadata_of(bundle)["network_data_format"]["inputs"]["image"]
    shape = _get_fake_spatial_shape(form["spatial_shape"], p=1, n=2)
    return torch.rand(1, form["num_channels"], *(int(size) for size in shape))


def scripts(bundle):
    return metadata_of(bundle).get("torchscript", True)


@pytest.fixture
def weights(bundle, tmp_path):
    torch.save(network_of(bundle).state_dict(), tmp_path / "model.pt")
    return tmp_path / "model.pt"


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
            "the contract checks the fields; set MONAI_BUNDLE_SCHEMA to meta_schema_20240725.json for MONAI's check"
        )
    shutil.copy(schema, tmp_path / "schema.json")
    verify_metadata(meta_file=str(bundle / "configs" / "metadata.json"), filepath=str(tmp_path / "schema.json"))


@every_bundle
def test_ckpt_export_gives_the_same_numbers(bundle, weights, tmp_path):
    ckpt_export(
        "network_def",
        filepath=str(tmp_path / "model.ts"),
        ckpt_file=str(weights),
        meta_file=str(bundle / "configs" / "metadata.json"),
        config_file=configs(bundle, *SIZES),
    )
    image = image_for(bundle)
    with torch.no_grad():
        torch.testing.assert_close(torch.jit.load(tmp_path / "model.ts")(image), network_of(bundle)(image))


class NotScripted(torch.nn.Module):
    """What TorchScript cannot compile: arguments by keyword alone, taken as they come."""

    def __init__(self, out_channels):
        super().__init__()
        self.layer = torch.nn.Conv2d(3, out_channels, 1)

    def forward(self, image, **kwargs):
        return self.layer(image, **kwargs)


@pytest.fixture
def not_scripted(tmp_path):
    """A made-up bundle whose network says that it cannot be scripted; no bundle of the collection does."""
    bundle = tmp_path / SEGMENTATION.name
    shutil.copytree(SEGMENTATION, bundle)
    definition = {"_target_": f"{__name__}.NotScripted", "out_channels": 5}
    changes = {"inference.json": {"network_def": definition}, "train.json": {"network_def": definition}}
    for name, values in {**changes, "metadata.json": {"torchscript": False}}.items():
        path = bundle / "configs" / name
        path.write_text(json_text({**read_json(path), **values}))
    with (bundle / "docs" / "README.md").open("a") as page:
        page.write("\nTorchScript compiles no keyword arguments.\n")
    return bundle


def test_torch_export_stands_in_where_scripting_cannot(not_scripted):
    assert violations(not_scripted) == []
    with pytest.raises(NotSupportedError, match="keyword-only"):
        torch.jit.script(network_of(not_scripted))
    network, image = network_of(not_scripted), image_for(not_scripted)
    exported = torch.export.export(network, (image,))
    with torch.no_grad():
        torch.testing.assert_close(exported.module()(image), network(image))


def test_every_bundle_is_scripted():
    """A bundle that says it is not belongs into this list, and into a test that exports it."""
    assert [bundle.name for bundle in BUNDLES if not scripts(bundle)] == []


@every_bundle
def test_onnx_export_writes_a_model_that_onnx_accepts(bundle, weights, tmp_path):
    tracing = {"use_trace": True, "converter_kwargs": {"dynamo": False}}
    onnx_export(
        "network_def",
        filepath=str(tmp_path / "model.onnx"),
        ckpt_file=str(weights),
        meta_file=str(bundle / "configs" / "metadata.json"),
        config_file=configs(bundle, *SIZES),
        input_shape=list(image_for(bundle).shape),
        **(tracing if metadata_of(bundle).get("onnx_exporter") == "trace" else {}),
    )
    onnx.checker.check_model(str(tmp_path / "model.onnx"))


@pytest.mark.parametrize("kind", ["train", "infer"])
@every_bundle
def test_check_properties_finds_nothing_missing(bundle, kind, tmp_path):
    overrides = {"bundle_root": str(bundle)}
    if kind == "train":
        data = samples_of(bundle).write(bundle.name, tmp_path / "data")
        overrides |= {"dataset_dir": str(data), "run_dir": str(tmp_path / "run"), **SHORT}
    else:
        scans = samples_of(bundle).scans(bundle.name, tmp_path / "scans")
        torch.save(network_of(bundle).state_dict(), tmp_path / "model.pt")
        overrides |= {"dataset_dir": str(scans), "output_dir": str(tmp_path), "ckpt_path": str(tmp_path / "model.pt")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        workflow = ConfigWorkflow(
            config_file=configs(bundle, "train.json" if kind == "train" else "inference.json", "demo.json"),
            meta_file=str(bundle / "configs" / "metadata.json"),
            logging_file=str(bundle / "configs" / "logging.conf"),
            workflow_type=kind,
            **overrides,
        )
    workflow.initialize()
    assert not workflow.check_properties()
