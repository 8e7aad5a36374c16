"""What handlers that write one file of an evaluation have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch.distributed
from ignite.engine import Engine, Events

from lvm_med_monai.whole_file import whole_file


class RowWriter(ABC):
    """Collect a row an item, and write the rows of a run when it ends.

    With several processes the first writes the rows of all, in the order of the processes, so attach it in all of them.
    The file appears whole; a second run replaces it.

    Args:
        path: file to write.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._rows: list[Any] = []

    @abstractmethod
    def row(self, item: Mapping[str, Any], output: Mapping[str, Any]) -> Any:
        """Row of an item of the batch and its output: values that can be pickled, no tensors."""

    @abstractmethod
    def save(self, rows: Sequence[Any], path: Path) -> str:
        """Write all rows to a path, and say what they are, such as "the boxes of 3 images"."""

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator that decollates."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _start(self, engine: Engine) -> None:
        self._rows = []

    def _collect(self, engine: Engine) -> None:
        pairs = zip(engine.state.batch, engine.state.output, strict=True)
        self._rows.extend(self.row(item, output) for item, output in pairs)

    def _write(self, engine: Engine) -> None:
        rows = _of_all_processes(self._rows)
        if idist.get_rank() > 0:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(self.path) as partial:
            written = self.save(rows, partial)
        engine.logger.info(f"wrote {written} to {self.path.name}")


def _of_all_processes(rows: list[Any]) -> list[Any]:
    """Rows of all processes in the first one; none in the others."""
    if idist.get_world_size() == 1:
        return rows
    parts: list[Any] = [[] for _ in range(idist.get_world_size())]
    torch.distributed.gather_object(rows, parts if idist.get_rank() == 0 else None)
    return [row for part in parts for row in part]
