"""Handler that shows images beside their nearest neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Engine, Events
from PIL import Image

from lvm_med_monai.handlers.drawing import LINE, PAPER, as_picture, enlarge, write_line
from lvm_med_monai.handlers.tiles import RIGHT, WRONG
from lvm_med_monai.metrics.retrieval import cosines_to_others
from lvm_med_monai.whole_file import whole_file

_GAP = 6
_FRAME = 3


class NeighbourSheet:
    """Write a contact sheet, ``neighbours.png``: a query a row, and to its right its nearest others by cosine.

    Queries are spread evenly over the images. Neighbours are other images, and of another patient where patients are
    known. Where labels are known, neighbours of the query's label are framed in green and others in red. Over each
    neighbour stands its cosine. The sheet holds no names.

    Expects decollated items with ``image`` (C, H, W), ``pred`` (F,) and, if they are known, ``label``: the numbers of
    label and patient. With several processes the first draws its own share.

    Args:
        output_dir: folder of the picture.
        queries: rows.
        neighbours: images beside a query.
        side: pixels of an image on the sheet.
        subtrahend: what normalisation subtracted from the channels; undone.
        divisor: what normalisation divided the channels by.
        limit: images that are kept as candidates, the first ones.
    """

    def __init__(
        self,
        output_dir: str | Path,
        queries: int = 8,
        neighbours: int = 6,
        side: int = 128,
        subtrahend: Sequence[float] = (0.0,),
        divisor: Sequence[float] = (1.0,),
        limit: int = 5000,
    ) -> None:
        self.path = Path(output_dir) / "neighbours.png"
        self.queries, self.neighbours, self.side, self.limit = queries, neighbours, side, limit
        self.subtrahend = np.array(subtrahend).reshape(-1, 1, 1)
        self.divisor = np.array(divisor).reshape(-1, 1, 1)
        self._pictures: list[np.ndarray] = []
        self._features: list[torch.Tensor] = []
        self._known: list[tuple[int, int]] = []

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator that decollates."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)

    def _start(self, engine: Engine) -> None:
        self._pictures, self._features, self._known = [], [], []

    def _collect(self, engine: Engine) -> None:
        if idist.get_rank() > 0:
            return
        for item in engine.state.output[: max(0, self.limit - len(self._pictures))]:
            channels = torch.as_tensor(item["image"]).detach().float().cpu().numpy() * self.divisor + self.subtrahend
            self._pictures.append(enlarge(as_picture(channels), (1.0, 1.0), self.side - 2 * _FRAME))
            self._features.append(item["pred"].detach().float().cpu())
            label, patient = (-1, -1) if item.get("label") is None else torch.as_tensor(item["label"]).tolist()
            self._known.append((int(label), int(patient)))

    def _write(self, engine: Engine) -> None:
        if idist.get_rank() > 0 or len(self._pictures) < 2:
            return
        labels, patients = np.array(self._known).T
        cosines = cosines_to_others(torch.stack(self._features).numpy(), patients)
        rows = np.unique(np.linspace(0, len(cosines) - 1, self.queries).round().astype(int))
        cell = (self.side + _GAP, self.side + LINE + _GAP)
        sheet = Image.new("RGB", (cell[0] * (self.neighbours + 1) + 2 * _GAP, cell[1] * len(rows) + _GAP), PAPER)
        for row, query in enumerate(rows):
            top = _GAP + row * cell[1]
            self._tile(sheet, int(query), (_GAP, top), "query", PAPER)
            nearest = np.argsort(-cosines[query], kind="stable")[: self.neighbours]
            for column, other in enumerate(nearest[np.isfinite(cosines[query][nearest])], start=1):
                known = labels[query] >= 0 and labels[other] >= 0
                frame = (RIGHT if labels[query] == labels[other] else WRONG) if known else PAPER
                place = (2 * _GAP + column * cell[0], top)
                self._tile(sheet, int(other), place, f"{cosines[query, other]:.3f}", frame)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(self.path) as partial:
            sheet.save(partial, format="PNG")

    def _tile(self, sheet: Image.Image, index: int, place: tuple[int, int], text: str, frame: Any) -> None:
        left, top = place
        write_line(sheet, place, text)
        sheet.paste(frame, (left, top + LINE, left + self.side, top + LINE + self.side))
        picture = Image.fromarray(self._pictures[index])
        sheet.paste(picture, (left + (self.side - picture.width) // 2, top + LINE + (self.side - picture.height) // 2))
