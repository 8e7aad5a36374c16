from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Invertd

from lvm_med_monai.transforms import AsSlicesd, RandBalancedSlicesd


def stack(labels):
    """An image whose slice ``i`` holds ``i``, and a mask whose slice ``i`` holds class ``labels[i]`` in one pixel."""
    image = torch.arange(len(labels)).float().expand(2, 4, 3, -1).clone()
    mask = torch.zeros(1, 4, 3, len(labels), dtype=torch.uint8)
    mask[0, 1, 2] = torch.tensor(labels, dtype=torch.uint8)
    return {"image": MetaTensor(image), "label": MetaTensor(mask), "name": "a"}


def drawn(labels, seed=0, **options):
    """Slices that are drawn of a stack, by their numbers."""
    transform = RandBalancedSlicesd(["image", "label"], "label", **options).set_random_state(seed)
    return [int(item["image"][0, 0, 0]) for item in transform(stack(labels))]


def test_a_picture_becomes_a_stack_of_one_slice_and_comes_back():
    transform = Compose([AsSlicesd(["image", "label"])])
    picture = MetaTensor(torch.rand(3, 5, 4))
    volume = MetaTensor(torch.rand(1, 5, 4, 6))
    item = transform({"image": picture, "label": volume})
    assert item["image"].shape == (3, 5, 4, 1)
    assert item["label"].shape == (1, 5, 4, 6)
    item["pred"] = MetaTensor(item["image"][:1] + 1)
    back = Invertd("pred", transform, orig_keys="image", nearest_interp=False)(item)
    assert torch.equal(back["pred"].as_tensor(), picture[:1].as_tensor() + 1)


@pytest.mark.parametrize("shape", [(4, 4), (1, 4, 4, 4, 2)], ids=str)
def test_other_numbers_of_axes_are_refused(shape):
    with pytest.raises(ValueError, match="channels first and a picture or volume"):
        AsSlicesd("image")({"image": torch.zeros(shape)})


def test_half_of_the_slices_have_a_target():
    labels = [0, 0, 0, 1, 0, 1, 0, 0]
    slices = drawn(labels, num_samples=4)
    assert sum(labels[index] for index in slices) == 2
    assert len(set(slices)) == 4


def test_image_and_mask_are_cut_at_the_same_place_and_the_rest_is_kept():
    transform = RandBalancedSlicesd(["image", "label"], "label", num_samples=6).set_random_state(1)
    labels = [0, 3, 0, 2, 0]
    for item in transform(stack(labels)):
        assert type(item["image"]) is torch.Tensor
        assert item["image"].shape == (2, 4, 3)
        assert int(item["label"].max()) == labels[int(item["image"][0, 0, 0])]
        assert item["name"] == "a"


def test_a_rare_class_is_drawn_as_often_as_a_common_one():
    labels = [1] * 19 + [2]
    slices = drawn(labels, num_samples=10, share=1.0)
    assert sum(labels[index] == 2 for index in slices) == 5


def test_slices_of_a_class_are_not_drawn_again_before_all_were():
    assert sorted(drawn([1] * 6, num_samples=6)) == list(range(6))
    assert sorted(drawn([1] * 3, num_samples=6)) == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("labels", "classes", "expected"),
    [([0, 0], None, {0, 1}), ([1, 2], None, {0, 1}), ([1, 2, 0], [2], {1}), ([1, 1, 1], [2], {0, 1, 2})],
    ids=["no target", "targets only", "one class counts", "the class is absent"],
)
def test_stacks_of_one_kind_give_that_kind(labels, classes, expected):
    share = 1.0 if classes == [2] and 2 in labels else 0.5
    assert set(drawn(labels, num_samples=12, classes=classes, share=share)) == expected


def test_the_share_holds_on_average_also_for_one_sample():
    labels = [0, 1, 0, 0]
    found = [labels[drawn(labels, seed, share=0.3)[0]] for seed in range(400)]
    assert abs(np.mean(found) - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 400)


def test_draws_repeat_with_the_seed():
    labels = [0, 1] * 10
    assert drawn(labels, 3, num_samples=8) == drawn(labels, 3, num_samples=8)
    assert drawn(labels, 3, num_samples=8) != drawn(labels, 4, num_samples=8)


def test_an_image_of_another_depth_is_named():
    item = stack([0, 1])
    item["image"] = MetaTensor(torch.zeros(1, 4, 3, 5), meta={"filename_or_obj": "/data/scan.nii.gz"})
    with pytest.raises(ValueError, match=r"^scan.nii.gz under image has shape .* as many slices"):
        RandBalancedSlicesd(["image", "label"], "label")(item)


@pytest.mark.parametrize("options", [{"num_samples": 0}, {"share": 1.5}], ids=str)
def test_impossible_options_are_refused(options):
    with pytest.raises(ValueError, match="at least one sample and a share"):
        RandBalancedSlicesd("image", "label", **options)
