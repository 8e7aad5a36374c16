"""What a training is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lvm_med_monai.apps.label.server.train import BundleTraining
from tests.apps.label.known import ROOT

SKIN, CHEST = "skin_lesion_dermoscopy_segmentation", "lung_heart_xray_segmentation"


def training_of(name: str) -> BundleTraining:
    return BundleTraining(str(ROOT / "bundles" / name), {})


@pytest.fixture
def deep(tmp_path: Path) -> list[dict[str, str]]:
    """A picture of 16 bits, with its label."""
    Image.fromarray(np.arange(400, dtype=np.uint16).reshape(20, 20) * 100).save(tmp_path / "deep.png")
    return [{"image": str(tmp_path / "deep.png"), "label": str(tmp_path / "label.png")}]


def test_a_bundle_of_eight_bits_refuses_a_deep_picture(deep: list[dict[str, str]]) -> None:
    with pytest.raises(ValueError, match=r"deep\.png holds values of 0 to 39900"):
        training_of(SKIN)._partition_datalist(deep, {"val_split": 0.0})


def test_a_bundle_that_scales_values_takes_it(deep: list[dict[str, str]]) -> None:
    assert training_of(CHEST)._partition_datalist(deep, {"val_split": 0.0}) == (deep, deep)


@pytest.mark.parametrize(
    ("device", "expected"), [("cpu", "$torch.device('cpu')"), ("cuda:1", "$torch.device('cuda:1')")]
)
def test_a_device_is_a_device(device: str, expected: str) -> None:
    overrides: dict[str, Any] = {"device": device, "train#trainer#max_epochs": 1}
    assert training_of(SKIN)._update_overrides(overrides)["device"] == expected


def test_a_device_is_no_code() -> None:
    with pytest.raises(RuntimeError):
        training_of(SKIN)._update_overrides({"device": "cpu') or print('", "train#trainer#max_epochs": 1})
