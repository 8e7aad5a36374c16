"""Inference on batches of any size with a bounded number of images at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import Inferer


class ChunkedInferer(Inferer):
    """Run a network on parts of a batch, and join what it says: for batches that hold all slices of a volume.

    Args:
        size: images at a time.

    Raises:
        ValueError: ``size`` is below 1.
    """

    def __init__(self, size: int = 32) -> None:
        super().__init__()
        if size < 1:
            raise ValueError(f"a part of a batch holds at least one image, got {size}")
        self.size = size

    def __call__(
        self, inputs: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Outputs (B, ...) of inputs (B, C, H, W)."""
        return torch.cat([network(part, *args, **kwargs) for part in inputs.split(self.size)])
