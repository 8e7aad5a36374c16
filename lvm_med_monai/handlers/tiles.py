"""Handler that draws classified images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Engine, Events
from PIL import Image

from lvm_med_monai.handlers.case_pictures import CasePictures
from lvm_med_monai.handlers.drawing import INK, LINE, PAPER, as_picture, enlarge, shortened, write_line

RIGHT, WRONG = (110, 200, 70), (230, 85, 60)
"""Frames of right and of wrong answers."""


class ClassificationPictures(CasePictures):
    """Classified images on pages of tiles, ``page_000.png``: truth and answer of each, wrong ones framed in red.

    Expects items with ``image`` (C, W, H), ``pred`` (probabilities of the classes) and ``label`` (index of the true
    class, or 0, 1, -1 of every class). A volume shows its middle slice. Each process writes pages of its own cases.

    Args:
        output_dir: folder of the pictures.
        class_names: names of the classes.
        multi_label: whether every class is true or false by itself, decided at 0.5.
        subtrahend: what normalisation subtracted from the channels; undone so that colours are right.
        divisor: what normalisation divided the channels by.
        rows_first: whether images are (C, H, W), as pictures, and not (C, W, H), as MONAI's readers give them.
        columns: tiles in a row.
        rows: rows of a page.
        side: pixels of a tile.
        limit: cases to draw; all if None.
    """

    def __init__(
        self,
        output_dir: str | Path,
        class_names: Sequence[str],
        multi_label: bool = False,
        subtrahend: Sequence[float] = (0.0,),
        divisor: Sequence[float] = (1.0,),
        rows_first: bool = False,
        columns: int = 5,
        rows: int = 4,
        side: int = 180,
        limit: int | None = None,
    ) -> None:
        super().__init__(output_dir, limit)
        self.class_names = list(class_names)
        self.multi_label = multi_label
        self.subtrahend = np.array(subtrahend).reshape(-1, 1, 1)
        self.divisor = np.array(divisor).reshape(-1, 1, 1)
        self.rows_first = rows_first
        self.columns, self.rows, self.side = columns, rows, side
        self._tiles: list[Image.Image] = []
        self._pages = 0

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator that decollates."""
        super().attach(engine)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._finish)

    def _start(self, engine: Engine) -> None:
        super()._start(engine)
        self._tiles, self._pages = [], 0

    def draw(self, index: int, item: Mapping[str, Any]) -> None:
        """Draw the tile of one case; a full page is written."""
        image = item["image"][..., item["image"].shape[-1] // 2] if item["image"].ndim == 4 else item["image"]
        array = torch.as_tensor(image).detach().cpu().numpy()
        array = array if self.rows_first else array.swapaxes(1, 2)
        picture = enlarge(as_picture(array * self.divisor + self.subtrahend), (1.0, 1.0), self.side - 10)
        truth, answer, right = self._answers(torch.as_tensor(item["pred"]), torch.as_tensor(item["label"]))
        tile = Image.new("RGB", (self.side, self.side + 3 * LINE), PAPER)
        frame = PAPER if right is None else RIGHT if right else WRONG
        tile.paste(frame, (0, 0, self.side, self.side))
        tile.paste(PAPER, (3, 3, self.side - 3, self.side - 3))
        height, width = picture.shape[:2]
        tile.paste(Image.fromarray(picture), ((self.side - width) // 2, (self.side - height) // 2))
        for line, text in enumerate((f"case {index}", f"truth: {truth}", f"answer: {answer}")):
            ink = INK if line < 2 or right is None else frame
            write_line(tile, (2, self.side + line * LINE), shortened(text, self.side - 4), ink)
        self._tiles.append(tile)
        if len(self._tiles) == self.columns * self.rows:
            self._write()

    def _answers(self, scores: torch.Tensor, label: torch.Tensor) -> tuple[str, str, bool | None]:
        """Truth and answer in words, and whether the answer is right (None: not known)."""
        scores, label = scores.flatten().float(), label.flatten()
        if not self.multi_label:
            best, true = int(scores.argmax()), int(label)
            truth = self.class_names[true] if true >= 0 else "not known"
            return truth, f"{scores[best]:.2f} {self.class_names[best]}", best == true if true >= 0 else None
        positive, known = scores >= 0.5, label >= 0
        words = [
            ", ".join(name for name, on in zip(self.class_names, flags, strict=True) if on)
            for flags in (label == 1, positive)
        ]
        right = bool(((label == 1) == positive)[known].all()) if known.any() else None
        return words[0] or "none", words[1] or "none", right

    def _finish(self, engine: Engine) -> None:
        if self._tiles:
            self._write()

    def _write(self) -> None:
        """Write the collected tiles as one page."""
        rows = -(-len(self._tiles) // self.columns)
        columns = min(self.columns, len(self._tiles))
        height = self.side + 3 * LINE + LINE // 2
        page = Image.new("RGB", (columns * (self.side + LINE // 2), rows * height), PAPER)
        for position, tile in enumerate(self._tiles):
            row, column = divmod(position, self.columns)
            page.paste(tile, (column * (self.side + LINE // 2), row * height))
        self.save(f"page_{self._pages * idist.get_world_size() + idist.get_rank():03d}.png", page)
        self._tiles, self._pages = [], self._pages + 1
