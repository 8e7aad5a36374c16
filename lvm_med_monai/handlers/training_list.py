"""Handler that publishes what was trained on."""

from __future__ import annotations

from pathlib import Path

import ignite.distributed as idist
from ignite.engine import Engine, Events

from lvm_med_monai.data import SliceShardDataset, write_slice_list


class TrainingList:
    """Write the list of training slices when training starts, so that later evaluations can check against it.

    Args:
        dataset: training slices.
        path: CSV file to write.
    """

    def __init__(self, dataset: SliceShardDataset, path: str | Path) -> None:
        self.dataset = dataset
        self.path = Path(path)

    def attach(self, engine: Engine) -> None:
        """Register with a trainer."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the list, by the first process alone."""
        if idist.get_rank() == 0:
            write_slice_list(self.dataset, self.path)
