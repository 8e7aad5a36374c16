from __future__ import annotations

import pytest
import torch

from lvm_med_monai.transforms import AddMaskPromptsd, MergeMasksd


def test_each_mask_becomes_an_object_and_the_last_counts():
    masks = torch.zeros(3, 4, 5, 2)
    masks[0, :2], masks[1, 1:3, 2:], masks[2, 3, 0] = 255, 7, 1
    merged = MergeMasksd("label")({"label": masks})["label"]
    assert merged.shape == (1, 4, 5, 2)
    assert merged[0, :, :, 0].tolist() == [[1, 1, 1, 1, 1], [1, 1, 2, 2, 2], [0, 0, 2, 2, 2], [3, 0, 0, 0, 0]]
    assert torch.equal(merged[..., 0], merged[..., 1])


def test_a_single_mask_keeps_its_values():
    mask = torch.tensor([[[0, 5, 255]]])
    assert MergeMasksd("label")({"label": mask})["label"] is mask


def test_prompts_refuse_masks_that_are_not_merged():
    item = {"image": torch.zeros(3, 8, 8), "label": torch.ones(2, 8, 8)}
    with pytest.raises(ValueError, match="a mask has 2 channels, expected one: MergeMasksd joins them"):
        AddMaskPromptsd("image")(item)
