"""What handlers that write one file of an evaluation have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from lvm_med_monai.handlers.process_states import of_all_processes, rank
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
        rows = [row for rows in of_all_processes(self._rows) for row in rows]
        if rank() > 0:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(self.path) as partial:
            written = self.save(rows, partial)
        engine.logger.info(f"wrote {written} to {self.path.name}")
