"""Handler that writes the features of slices to a table."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import torch
from ignite.engine import Engine, Events
from pyarrow import parquet

from lvm_med_monai.whole_file import whole_file


class FeatureWriter:
    """Collect an evaluator's predictions and write them as Parquet: one row a slice, ``slice_id`` and ``features``.

    Expects decollated outputs, each with ``pred`` of shape (C,) and the slice's name under ``key``.

    Args:
        path: table to write; it appears whole when the evaluation ends.
        key: entry that names a slice.
    """

    def __init__(self, path: str | Path, key: str = "slice_id") -> None:
        self.path = Path(path)
        self.key = key
        self._names: list[str] = []
        self._features: list[torch.Tensor] = []

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _collect(self, engine: Engine) -> None:
        self._names.extend(item[self.key] for item in engine.state.batch)
        self._features.extend(item["pred"].detach().float().cpu() for item in engine.state.output)

    def _write(self, engine: Engine) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        values = torch.stack(self._features)
        features = pa.FixedSizeListArray.from_arrays(pa.array(values.flatten().numpy()), values.shape[1])
        with whole_file(self.path) as partial:
            parquet.write_table(pa.table({self.key: self._names, "features": features}), partial)
        engine.logger.info(f"wrote the features of {len(self._names)} slices to {self.path.name}")
