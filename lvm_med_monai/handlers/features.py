"""Handler that writes the features of slices to a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from lvm_med_monai.handlers.row_writer import RowWriter


class FeatureWriter(RowWriter):
    """Write an evaluator's predictions as Parquet: one row a slice, ``slice_id`` and ``features``.

    Expects decollated outputs, each with ``pred`` of shape (C,), and the slice's name under ``key`` of the item. See
    `RowWriter` for several processes.

    Args:
        path: table to write; it appears whole when the evaluation ends.
        key: entry that names a slice.
    """

    def __init__(self, path: str | Path, key: str = "slice_id") -> None:
        super().__init__(path)
        self.key = key

    def row(self, item: Mapping[str, Any], output: Mapping[str, Any]) -> tuple[Any, np.ndarray]:
        """Name and features of a slice."""
        return item[self.key], output["pred"].detach().float().cpu().numpy()

    def save(self, rows: Sequence[tuple[Any, np.ndarray]], path: Path) -> str:
        """Write the table."""
        values = np.stack([features for _, features in rows])
        features = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
        parquet.write_table(pa.table({self.key: [name for name, _ in rows], "features": features}), path)
        return f"the features of {len(rows)} slices"
