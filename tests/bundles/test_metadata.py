"""The fields of the metadata: what the contract checks, and that MONAI's own schema, where there is a copy, agrees."""

from __future__ import annotations

import copy
import json
import os

import pytest

from lvm_med_monai.bundles.json_text import read_json
from lvm_med_monai.bundles.metadata_fields import OPTIONAL, REQUIRED, TENSOR_REQUIRED, field_violations
from tests.bundles.conftest import BUNDLES, SEGMENTATION

COLLECTIONS_OWN = {"changelog"}
"""Required here and optional in the schema."""


def metadata_of(bundle):
    return read_json(bundle / "configs" / "metadata.json")


@pytest.fixture(scope="module")
def schema():
    """The schema of MONAI, to which every check is held where it is at hand; it is not part of this repository."""
    path = os.environ.get("MONAI_BUNDLE_SCHEMA")
    if path is None:
        pytest.skip("fields are checked without it; set MONAI_BUNDLE_SCHEMA to meta_schema_20240725.json to compare")
    with open(path) as file:
        return json.load(file)


def image_of(metadata):
    return metadata["network_data_format"]["inputs"]["image"]


def without(name):
    return lambda metadata: metadata.pop(name)


def of_image(**values):
    return lambda metadata: image_of(metadata).update(values)


FAULTS = {
    **{
        f"no {name}": (without(name), f"metadata.json lacks {name}") for name in REQUIRED if name not in COLLECTIONS_OWN
    },
    **{
        f"{name} is a number": (lambda m, name=name: m.update({name: 3}), f"{name} must be {word}, not 3")
        for name, word in (
            ("version", "text"),
            ("authors", "text"),
            ("eval_metrics", "an object"),
            ("references", "a list"),
        )
    },
    "authors in a list": (lambda m: m.update(authors=["A", "B"]), "authors must be text, not ['A', 'B']"),
    "reference as object": (lambda m: m.update(references=[{}]), "references must hold text only"),
    "apps in a list": (lambda m: m.update(supported_apps=["monai-label"]), "supported_apps must be an object"),
    "no outputs": (lambda m: m["network_data_format"].pop("outputs"), "network_data_format lacks outputs"),
    "inputs in a list": (
        lambda m: m["network_data_format"].update(inputs=["image"]),
        "network_data_format: inputs must be an object",
    ),
    **{
        f"tensor without {name}": (lambda m, name=name: image_of(m).pop(name), f"inputs::image lacks {name}")
        for name in TENSOR_REQUIRED
    },
    "channels in words": (of_image(num_channels="three"), "num_channels must be a whole number, not 'three'"),
    "channels true": (of_image(num_channels=True), "num_channels must be a whole number, not True"),
    "half a channel": (of_image(num_channels=1.5), "num_channels must be a whole number, not 1.5"),
    "shape of halves": (of_image(spatial_shape=[0.5]), "spatial_shape must hold text or a whole number only"),
    "range in words": (of_image(value_range=["0", 1]), "value_range must hold a number only"),
    "patch in words": (of_image(is_patch_data="no"), "is_patch_data must be true or false, not 'no'"),
    "channels in a list": (of_image(channel_def=["image"]), "channel_def must be an object"),
}


def spoilt(spoil):
    metadata = copy.deepcopy(metadata_of(SEGMENTATION))
    spoil(metadata)
    return metadata


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_the_fields_of_every_bundle_are_those_of_the_specification(bundle):
    assert list(field_violations(metadata_of(bundle))) == []


@pytest.mark.parametrize(("spoil", "sentence"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_named(spoil, sentence):
    (found,) = field_violations(spoilt(spoil))
    assert sentence in found


def test_a_tensor_must_be_described():
    metadata = spoilt(lambda m: m["network_data_format"]["outputs"].update(pred=3))
    assert list(field_violations(metadata)) == ["outputs::pred must be an object that describes a tensor"]


def test_the_schema_accepts_every_bundle_and_finds_the_same_faults(schema):
    jsonschema = pytest.importorskip("jsonschema", reason="installed by the extra dev")
    valid = jsonschema.Draft201909Validator(schema).is_valid
    assert [bundle.name for bundle in BUNDLES if not valid(metadata_of(bundle))] == []
    assert [name for name, (spoil, _) in FAULTS.items() if valid(spoilt(spoil))] == []


def test_the_schema_has_the_same_fields(schema):
    assert set(schema["required"]) == set(REQUIRED) - COLLECTIONS_OWN
    assert set(schema["properties"]) == set(REQUIRED) | set(OPTIONAL)
    assert set(schema["$defs"]["tensor"]["required"]) == set(TENSOR_REQUIRED)
