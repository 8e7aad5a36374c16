"""What every bundle must be, whatever it does; no bundle is an exception."""

from __future__ import annotations

import json
import os
import re

import pytest

from tests.bundles.conftest import BUNDLES, ROOT

FILES = (
    "LICENSE",
    "configs/metadata.json",
    "configs/train.json",
    "configs/evaluate.json",
    "configs/inference.json",
    "configs/multi_gpu_train.json",
    "configs/logging.conf",
    "docs/README.md",
)
HEADINGS = (
    "# Model Overview",
    "## Data",
    "## Training configuration",
    "## Input",
    "## Output",
    "## Performance",
    "## MONAI bundle commands",
    "# Limitations",
    "# References",
    "# License",
)
TRAIN_IDS = ("bundle_root", "dataset_dir", "run_dir", "device", "network_def", "train", "initialize", "run")
INFER_IDS = (
    "bundle_root",
    "dataset_dir",
    "output_dir",
    "device",
    "network_def",
    "dataset",
    "inferer",
    "evaluator",
    "run",
)

every_bundle = pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)


def read(bundle, name):
    def unique(pairs):
        keys = [key for key, _ in pairs]
        assert len(set(keys)) == len(keys), f"{name} repeats a key among {keys}"
        return dict(pairs)

    return json.loads((bundle / "configs" / name).read_text(), object_pairs_hook=unique)


def strings(item):
    if isinstance(item, dict):
        for value in item.values():
            yield from strings(value)
    elif isinstance(item, list):
        for value in item:
            yield from strings(value)
    elif isinstance(item, str):
        yield item


@every_bundle
def test_files_are_there_and_hold_no_python(bundle):
    assert [name for name in FILES if not (bundle / name).is_file()] == []
    assert list(bundle.rglob("*.py")) == []
    assert (bundle / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


@every_bundle
def test_metadata_fits_the_schema(bundle):
    path = os.environ.get("MONAI_BUNDLE_SCHEMA")
    if path is None:
        pytest.skip(
            "MONAI_BUNDLE_SCHEMA does not name a copy of meta_schema_20240725.json, which needs a network to get"
        )
    jsonschema = pytest.importorskip("jsonschema", reason="installed by the extra dev")
    with open(path) as schema:
        jsonschema.validate(read(bundle, "metadata.json"), json.load(schema))


@every_bundle
def test_metadata_is_consistent(bundle):
    metadata = read(bundle, "metadata.json")
    assert metadata["version"] in metadata["changelog"]
    assert "lvm_med_monai" in metadata["required_packages_version"]
    versions = [metadata[f"{name}_version"] for name in ("monai", "pytorch", "numpy")]
    for version in [*versions, *metadata["required_packages_version"].values()]:
        assert re.fullmatch(r"\d+(\.\d+)+", version), version
    tensors = metadata["network_data_format"]
    assert list(tensors["inputs"]) == ["image"]
    assert list(tensors["outputs"]) == ["pred"]


@every_bundle
def test_configurations_have_the_ids_that_tools_read(bundle):
    train, inference = read(bundle, "train.json"), read(bundle, "inference.json")
    assert [key for key in TRAIN_IDS if key not in train] == []
    assert [key for key in INFER_IDS if key not in inference] == []
    assert isinstance(train["train"]["handlers"], list)
    assert all(isinstance(handler, dict) for handler in train["train"]["handlers"])
    assert "cpu" in train["device"]
    assert "cpu" in inference["device"]


@every_bundle
def test_expressions_are_short_and_stay_inside(bundle):
    for path in sorted((bundle / "configs").glob("*.json")):
        for text in strings(read(bundle, path.name)):
            assert "#" not in text, f"{path.name}: MONAI turns # into :: in {text}"
            assert not text.startswith("%"), f"{path.name}: {text} is resolved against the working folder"
            assert "../" not in text, f"{path.name}: {text} leaves the bundle"
            if text.startswith("$"):
                assert len(text) < 110, f"{path.name}: {text} should be a function"


@every_bundle
def test_pre_and_postprocessing_stand_alone(bundle):
    """MONAI Deploy runs them without the rest of the configuration, in another working folder."""
    inference = read(bundle, "inference.json")
    for part in ("preprocessing", "postprocessing", "inferer"):
        assert "bundle_root" not in json.dumps(inference[part])


@every_bundle
def test_training_never_writes_into_models(bundle):
    assert not [text for text in strings(read(bundle, "train.json")) if "/models" in text]


@every_bundle
def test_the_readme_has_the_zoos_headings(bundle):
    lines = (bundle / "docs" / "README.md").read_text().splitlines()
    assert [heading for heading in HEADINGS if heading not in lines] == []
