"""Checks of a pretraining set-up that cost nothing and run before the first step."""

from __future__ import annotations

from collections.abc import Sized


def check_batches(dataset: Sized, batch_size: int, graph_size: int) -> None:
    """Make sure that batches exist and that graphs fit into them.

    Args:
        dataset: training slices.
        batch_size: images a batch and process; incomplete batches are dropped.
        graph_size: nodes of a graph.

    Raises:
        ValueError: a batch is smaller than a graph, or the data are smaller than a batch.
    """
    if batch_size < graph_size:
        raise ValueError(
            f"a batch of {batch_size} images holds no graph of {graph_size} nodes: raise batch_size or lower graph_size"
        )
    if len(dataset) < batch_size:
        raise ValueError(
            f"{len(dataset)} training slices do not fill one batch of {batch_size} images: "
            "extract more slices, or lower batch_size and graph_size"
        )
