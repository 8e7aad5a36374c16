"""The frame of handlers that draw every case of an evaluation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events
from PIL import Image

from lvm_med_monai.whole_file import whole_file


class CasePictures(ABC):
    """Counts the cases of an evaluation and draws each of its own process.

    Cases are numbered as in the datalist, also over several processes, as ``DistributedSampler`` without shuffling
    deals them out in turn.

    Args:
        output_dir: folder of the pictures.
        limit: cases to draw; all if None.
    """

    def __init__(self, output_dir: str | Path, limit: int | None = None) -> None:
        self.output_dir = Path(output_dir)
        self.limit = limit
        self._seen = 0

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator that decollates."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def _start(self, engine: Engine) -> None:
        self._seen = 0

    def __call__(self, engine: Engine) -> None:
        """Draw the cases of this iteration."""
        for item in engine.state.output:
            index = self._seen * idist.get_world_size() + idist.get_rank()
            self._seen += 1
            if self.limit is None or index < self.limit:
                self.draw(index, item)

    @abstractmethod
    def draw(self, index: int, item: Mapping[str, Any]) -> None:
        """Draw one case."""

    def save(self, name: str, picture: Image.Image) -> None:
        """Write a PNG whole."""
        self.output_dir.mkdir(parents=True, exist_ok=True)
        with whole_file(self.output_dir / name) as partial:
            picture.save(partial, format="PNG")
