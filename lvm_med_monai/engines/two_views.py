"""What a MONAI trainer needs for graph matching: two views instead of labels, a loss on the graphs of both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from monai.engines import PrepareBatch
from torch import nn

from lvm_med_monai.graph import cut_into_graphs
from lvm_med_monai.losses import GraphMatchingLoss
from lvm_med_monai.networks import TwoViewOutput
from lvm_med_monai.transforms import CropGeometry, MultiView


class PrepareTwoViews(PrepareBatch):
    """Turn a batch of images into two augmented views on the training device, and their crops.

    Given to ``SupervisedTrainer(prepare_batch=...)``, the network receives the stacked views (2B, 3, H, W) and the
    loss function their ``CropGeometry`` as the target.

    Args:
        views: draws the views.
        key: entry of a batch that holds the images, values in [0, 1].
        channels_last: lay the views out with channels innermost, which convolutions prefer on CPU and tensor cores.
    """

    def __init__(self, views: MultiView, key: str = "image", channels_last: bool = True) -> None:
        self.views = views
        self.key = key
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format

    def __call__(
        self,
        batchdata: Mapping[str, torch.Tensor],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, CropGeometry]:
        """Views and crops of one batch."""
        images = batchdata[self.key].to(device=device, non_blocking=non_blocking, **kwargs)
        views, crops = self.views(images)
        return views.contiguous(memory_format=self.memory_format), crops


class GraphMatchingObjective(nn.Module):
    """Graph-matching loss of the network's output for two views, in the form that a trainer calls.

    Args:
        loss: loss on graphs, feature maps and positions.
    """

    def __init__(self, loss: GraphMatchingLoss) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, output: TwoViewOutput, crops: CropGeometry) -> torch.Tensor:
        """Cut maps and positions as the graph encoder cut the embeddings, and match."""
        size = self.loss.recipe.graph_size
        rows, columns = output.map_s.shape[-2:]
        source, target = crops.chunk()
        return self.loss(
            output.graphs_s,
            output.graphs_t,
            cut_into_graphs(output.map_s, size),
            cut_into_graphs(output.map_t, size),
            cut_into_graphs(source.positions(rows, columns), size),
            cut_into_graphs(target.positions(rows, columns), size),
        )
