"""A volume segmented slice by slice, where there are prompts."""

from __future__ import annotations

from typing import Any

import torch
from monai.inferers import Inferer
from torch import nn

from lvm_med_monai.networks.prompted import IMAGE_CHANNELS, NOTHING


class PromptedSlices(Inferer):
    """Runs a `PromptedSegmenter` on the slices of a stack that hold prompts; of the others all scores are `NOTHING`.

    A volume of hundreds of slices with a click in one costs one pass of the encoder.

    Args:
        batch_size: slices in one pass. Slices of a pass that have fewer prompts than another are padded, which SAM's
            decoder sees: 1 gives each slice what it would get alone.
    """

    def __init__(self, batch_size: int = 1) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"a pass needs at least one slice, got batch_size {batch_size}")
        self.batch_size = batch_size

    def __call__(self, inputs: torch.Tensor, network: nn.Module, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Scores (B, 1, H, W, D) of stacks (B, 4, H, W, D), or (B, 1, H, W) of slices (B, 4, H, W)."""
        if inputs.ndim == 4:
            return network(inputs)
        stacks, _, rows, columns, depth = inputs.shape
        slices = inputs.movedim(-1, 1).flatten(0, 1)
        prompted = slices[:, IMAGE_CHANNELS].flatten(1).any(1).nonzero().flatten()
        if not len(prompted) and getattr(getattr(network, "module", network), "low_resolution", False):
            prompted = prompted.new_zeros(1)  # one pass, to learn the size of the scores
        scores = inputs.new_full((stacks * depth, 1, rows, columns), NOTHING)
        for chosen in prompted.split(self.batch_size) if len(prompted) else ():
            found = network(slices[chosen]).to(scores)
            if found.shape[-2:] != scores.shape[-2:]:
                scores = scores.new_full((stacks * depth, 1, *found.shape[-2:]), NOTHING)
            scores[chosen] = found
        return scores.unflatten(0, (stacks, depth)).movedim(1, -1)
