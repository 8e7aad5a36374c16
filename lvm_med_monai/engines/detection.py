"""What MONAI's engines lack for networks that compute their own losses from boxes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


class PrepareBoxes:
    """``prepare_batch`` of a trainer or evaluator of a `lvm_med_monai.networks.BoxDetector`.

    Args:
        training: hand the boxes to the network too, which then gives its losses.
        key: of the images.
        target_key: of the boxes and labels, (B, T, 5); absent when boxes are looked for.
    """

    def __init__(self, training: bool = False, key: str = "image", target_key: str = "target") -> None:
        self.training = training
        self.key = key
        self.target_key = target_key

    def __call__(
        self,
        batchdata: Mapping[str, Any],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[Any, ...]:
        """Images and boxes of one batch, and what the network is called with besides images."""
        images = batchdata[self.key].to(device=device, non_blocking=non_blocking, **kwargs)
        target = batchdata.get(self.target_key)
        if target is not None:
            target = target.to(device=device, non_blocking=non_blocking)
        return (images, target, (target,), {}) if self.training else (images, target)


class SumOfLosses(nn.Module):
    """Loss of a trainer whose network gives its losses: their sum."""

    def forward(self, losses: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Sum of the losses (L,); the boxes have been seen by the network."""
        return losses.sum()
