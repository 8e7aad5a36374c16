"""Batches of boxes as trainers and evaluators hand them on."""

from __future__ import annotations

import torch

from lvm_med_monai.engines import PrepareBoxes, SumOfLosses

BATCH = {"image": torch.ones(2, 3, 4, 4), "target": torch.zeros(2, 5, 5), "name": ["a", "b"]}


def test_the_network_sees_boxes_in_training_only():
    images, target, arguments, options = PrepareBoxes(training=True)(BATCH, torch.device("cpu"))
    assert images is not None
    assert arguments[0] is target
    assert options == {}
    assert len(PrepareBoxes()(BATCH, torch.device("cpu"))) == 2


def test_inference_has_no_target():
    images, target = PrepareBoxes()({"image": BATCH["image"]}, "cpu")
    assert torch.equal(images, BATCH["image"])
    assert target is None


def test_the_loss_is_the_sum_of_the_losses():
    assert SumOfLosses()(torch.tensor([1.0, 2, 3, 4]), BATCH["target"]) == 10
