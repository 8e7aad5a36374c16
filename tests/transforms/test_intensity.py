from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from lvm_med_monai.transforms import DeviationsToBytesd, MinMaxSlicesd, PictureIntensityd


def test_a_picture_is_divided_by_its_white():
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 5, 6, 1)).astype(np.float32))
    found = PictureIntensityd("image")({"image": image, "label": 7})
    np.testing.assert_array_equal(found["image"], image / 255)
    assert found["label"] == 7


def test_what_resizing_adds_to_the_range_is_cut():
    assert PictureIntensityd("image")({"image": torch.tensor([-0.001, 255.001])})["image"].tolist() == [0, 1]


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([0.0, 4095.0], id="12 bits"),
        pytest.param([0.0, 256.0], id="one too many"),
        pytest.param([-1024.0, 200.0], id="Hounsfield units"),
        pytest.param([0.0, float("nan")], id="not a number"),
    ],
)
def test_values_that_are_no_picture_are_refused_by_name(values):
    image = MetaTensor(torch.tensor([[values]]), meta={"filename_or_obj": "/ward/anna/angio_7.dcm"})
    with pytest.raises(ValueError, match=r"^angio_7.dcm holds values of .*8 bits, or set intensity"):
        PictureIntensityd("image")({"image": image})


def test_a_picture_without_a_name_is_refused_too():
    with pytest.raises(ValueError, match="an image holds values of 0 to 300"):
        PictureIntensityd("image")({"image": torch.tensor([0.0, 300.0])})


def test_each_slice_is_stretched_on_its_own_over_all_channels():
    image = torch.tensor([[[[0.0, 10.0], [4.0, 20.0]]], [[[8.0, 10.0], [2.0, 30.0]]]])
    found = MinMaxSlicesd("image")({"image": image})["image"]
    first = np.floor(np.array([[0, 4], [8, 2]]) / 8 * 255)
    second = np.floor((np.array([[10, 20], [10, 30]]) - 10) / 20 * 255)
    np.testing.assert_array_equal(found[:, 0, :, 0], first)
    np.testing.assert_array_equal(found[:, 0, :, 1], second)


def test_a_flat_slice_becomes_black():
    assert not MinMaxSlicesd("image")({"image": torch.full((3, 4, 4), 7.0)})["image"].any()


def test_deviations_become_bytes_as_computed_by_numpy():
    volume = np.random.default_rng(0).gamma(2, 50, (1, 20, 21, 22)).astype(np.float32)
    clipped = np.clip(volume, *np.percentile(volume, (0.5, 99.5)))
    expected = np.floor(np.clip((clipped - clipped.mean()) / clipped.std() / 10, 0, 1) * 255)
    found = DeviationsToBytesd("image")({"image": torch.from_numpy(volume)})["image"].numpy()
    assert np.mean(found != expected) < 1e-3  # float32 against float64 at the edge of a step
    assert np.abs(found - expected).max() <= 1
    assert not found[clipped < clipped.mean() - 1e-3].any()


def test_a_flat_volume_becomes_black():
    assert not DeviationsToBytesd("image")({"image": torch.full((1, 4, 4, 4), 7.0)})["image"].any()
