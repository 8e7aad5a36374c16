"""Handler that writes class probabilities as a table."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from lvm_med_monai.handlers.row_writer import RowWriter

PRESENT = 0.5
"""Probability from which a finding is taken for present."""
NOT_KNOWN = "?"
"""Stands behind a label that is not known."""


class PredictionWriter(RowWriter):
    """Write ``predictions.csv``: a row an image, with its predicted class and the probability of every class.

    Columns: ``image``, the name of the file in the user's folder (nothing is taken from headers); ``label``, where the
    items have one; ``prediction``; and each class. Findings of a multi-label task are joined by ``;``; those with a
    probability of at least 0.5 are predicted, and a label that is not known is marked with ``?``.

    Expects decollated items with ``name`` and, in the output, ``pred``: probabilities of shape (C,). See `RowWriter`
    for several processes.

    Args:
        path: table to write; it appears whole when the evaluation ends.
        classes: names of the C classes.
        multi_label: whether an image can have several classes.

    Raises:
        ValueError: when a prediction has another number of classes.
    """

    def __init__(self, path: str | Path, classes: Sequence[str], multi_label: bool = False) -> None:
        super().__init__(path)
        self.classes = list(classes)
        self.multi_label = multi_label

    def row(self, item: Mapping[str, Any], output: Mapping[str, Any]) -> list[str | None]:
        """Name, label if there is one, prediction and probabilities of an image."""
        probabilities = output["pred"].detach().float().cpu()
        if probabilities.shape != (len(self.classes),):
            raise ValueError(
                f"{item['name']} has probabilities of shape {tuple(probabilities.shape)}, but there are "
                f"{len(self.classes)} class names: num_classes of the network must agree with class_names"
            )
        label = item.get("label")
        return [
            str(item["name"]),
            None if label is None else self._told(torch.as_tensor(label).cpu()),
            self._names(probabilities),
            *(f"{value:.6f}" for value in probabilities.tolist()),
        ]

    def _told(self, label: torch.Tensor) -> str:
        return self._names(label) if self.multi_label else self.classes[int(label)]

    def _names(self, values: torch.Tensor) -> str:
        """Classes that probabilities, or labels of findings, say."""
        if not self.multi_label:
            return self.classes[int(values.argmax())]
        marks: list[Any] = ["" if value >= PRESENT else NOT_KNOWN if value < 0 else None for value in values.tolist()]
        return ";".join(name + mark for name, mark in zip(self.classes, marks, strict=True) if mark is not None)

    def save(self, rows: Sequence[list[str | None]], path: Path) -> str:
        """Write the table, with labels if there are any."""
        labelled = any(row[1] is not None for row in rows)
        keep = [0, 1, 2] if labelled else [0, 2]
        header = [("image", "label", "prediction")[column] for column in keep] + self.classes
        with path.open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(header)
            table.writerows([row[column] for column in keep] + row[3:] for row in rows)
        return f"predictions of {len(rows)} images"
