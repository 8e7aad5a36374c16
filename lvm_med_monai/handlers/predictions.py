"""Handler that writes class probabilities as a table."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from monai.utils import string_list_all_gather

from lvm_med_monai.whole_file import whole_file

PRESENT = 0.5
"""Probability from which a finding is taken for present."""
UNKNOWN = "?"


class PredictionWriter:
    """Write ``predictions.csv``: a row an image, with its predicted class and the probability of every class.

    Columns: ``image``, the name of the file in the user's folder (nothing is taken from headers); ``label``, where the
    items have one; ``prediction``; and each class. Findings of a multi-label task are joined by ``;``; those with a
    probability of at least 0.5 are predicted, and a label that is not known is marked with ``?``.

    Expects decollated items with ``name`` and, in the output, ``pred``: probabilities of shape (C,). With several
    processes the first writes the rows of all, so attach it in all of them.

    Args:
        path: table to write; it appears whole when the evaluation ends.
        classes: names of the C classes.
        multi_label: whether an image can have several classes.

    Raises:
        ValueError: when a prediction has another number of classes.
    """

    def __init__(self, path: str | Path, classes: Sequence[str], multi_label: bool = False) -> None:
        self.path = Path(path)
        self.classes = list(classes)
        self.multi_label = multi_label
        self._rows: list[list[str]] = []
        self._labelled = False

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _start(self, engine: Engine) -> None:
        self._rows, self._labelled = [], False

    def _collect(self, engine: Engine) -> None:
        for item, output in zip(engine.state.batch, engine.state.output, strict=True):
            probabilities = output["pred"].detach().float().cpu()
            if probabilities.shape != (len(self.classes),):
                raise ValueError(
                    f"{item['name']} has probabilities of shape {tuple(probabilities.shape)}, but there are "
                    f"{len(self.classes)} class names: num_classes of the network must agree with class_names"
                )
            label = item.get("label")
            self._labelled |= label is not None
            self._rows.append(
                [
                    str(item["name"]),
                    "" if label is None else self._told(torch.as_tensor(label).cpu()),
                    self._names(probabilities),
                    *(f"{value:.6f}" for value in probabilities.tolist()),
                ]
            )

    def _told(self, label: torch.Tensor) -> str:
        return self._names(label) if self.multi_label else self.classes[int(label)]

    def _names(self, values: torch.Tensor) -> str:
        """Classes that probabilities, or labels of findings, say."""
        if not self.multi_label:
            return self.classes[int(values.argmax())]
        marks: list[Any] = ["" if value >= PRESENT else UNKNOWN if value < 0 else None for value in values.tolist()]
        return ";".join(name + mark for name, mark in zip(self.classes, marks, strict=True) if mark is not None)

    def _write(self, engine: Engine) -> None:
        rows = [json.loads(text) for text in string_list_all_gather([json.dumps(row) for row in self._rows])]
        if idist.get_rank() > 0:
            return
        keep = [0, 1, 2] if self._labelled else [0, 2]
        header = [("image", "label", "prediction")[column] for column in keep] + self.classes
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(self.path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(header)
            table.writerows([row[column] for column in keep] + row[3:] for row in rows)
        engine.logger.info(f"wrote predictions of {len(rows)} images to {self.path.name}")
