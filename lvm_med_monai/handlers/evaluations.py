"""Evaluations of frozen features."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from lvm_med_monai.data import SliceShardDataset
from lvm_med_monai.handlers.history import write_metrics
from lvm_med_monai.metrics import neighbour_accuracy


class NeighbourProbe:
    """Classify slices by their nearest neighbours among labelled ones, on a network's frozen features.

    Args:
        network: has ``embed``.
        bank: labelled slices; items have ``image`` as the network takes it.
        queries: other labelled slices.
        field: manifest field that is the label; None for no evaluation.
        k: neighbours that vote.
        batch_size: slices at a time.
    """

    def __init__(
        self,
        network: Any,
        bank: SliceShardDataset,
        queries: SliceShardDataset,
        field: str | None = None,
        k: int = 20,
        batch_size: int = 32,
    ) -> None:
        self.network, self.bank, self.queries = network, bank, queries
        self.field, self.k, self.batch_size = field, k, batch_size

    def evaluate(self) -> dict[str, float]:
        """``neighbour_accuracy`` of the network as it is now; nothing without a field."""
        if self.field is None:
            return {}
        (bank, known), (queries, wanted) = self._features(self.bank), self._features(self.queries)
        return {"neighbour_accuracy": neighbour_accuracy(bank, known, queries, wanted, self.k)}

    @torch.no_grad()
    def _features(self, dataset: SliceShardDataset) -> tuple[torch.Tensor, list[Any]]:
        network: nn.Module = self.network
        training, device = network.training, next(network.parameters()).device
        network.eval()
        loader = DataLoader(dataset, batch_size=self.batch_size)
        features = torch.cat([self.network.embed(batch["image"].to(device)).float() for batch in loader])
        network.train(training)
        return features, [label for (label,) in dataset.groups(str(self.field))]


class Evaluations:
    """Several evaluations as one.

    Args:
        parts: each has ``evaluate``, which returns metrics by name.
    """

    def __init__(self, parts: Sequence[Any]) -> None:
        self.parts = list(parts)

    def evaluate(self) -> dict[str, float]:
        """Metrics of all parts."""
        return {name: value for part in self.parts for name, value in part.evaluate().items()}

    def write(self, path: str | Path) -> None:
        """Evaluate, and write the metrics as a JSON file."""
        write_metrics(self.evaluate(), path)
