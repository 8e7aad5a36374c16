"""Handlers that show the boxes of an evaluation: pictures, and one file of numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw

from lvm_med_monai.handlers.case_pictures import CasePictures
from lvm_med_monai.handlers.drawing import as_picture, captioned, colour, enlarge, write_line
from lvm_med_monai.handlers.row_writer import RowWriter

FRAME = (
    "pixels of the stored image: x to the right, the first axis of an array, y down, from the corner of the first pixel"
)
"""Frame of the coordinates in boxes.json."""


class BoxPictures(CasePictures):
    """One PNG a case, ``case_0000.png``: the true boxes, and the boxes found with their scores.

    Expects items with ``image`` (C, H, W), rows first, ``pred`` (M, 6): x1, y1, x2, y2, label, score in its pixels,
    and, if there is a truth, ``label`` (T, 5). Rows with a negative label are padding.

    Args:
        output_dir: folder of the pictures.
        class_names: names of the classes.
        score_threshold: boxes with a lower score are not drawn.
        side: pixels of a panel's longer side.
        limit: cases to draw; all if None.
    """

    def __init__(
        self,
        output_dir: str | Path,
        class_names: Sequence[str],
        score_threshold: float = 0.3,
        side: int = 512,
        limit: int | None = None,
    ) -> None:
        super().__init__(output_dir, limit)
        self.class_names = list(class_names)
        self.score_threshold = score_threshold
        self.side = side

    def draw(self, index: int, item: Mapping[str, Any]) -> None:
        """Draw one case."""
        image = torch.as_tensor(item["image"]).detach().cpu().numpy()
        scale = self.side / max(image.shape[1:])
        picture = enlarge(as_picture(image), (1.0, 1.0), self.side)
        found = _valid(item["pred"])
        found = found[found[:, 5] >= self.score_threshold]
        shown = set(found[:, 4].astype(int).tolist())
        panels = [(f"found: {len(found)} of score {self.score_threshold} or more", _boxed(picture, found, scale))]
        if item.get("label") is not None:
            truth = _valid(item["label"])
            shown |= set(truth[:, 4].astype(int).tolist())
            panels.insert(0, (f"truth: {len(truth)}", _boxed(picture, truth, scale)))
        legend = [(kind, self.class_names[kind]) for kind in sorted(shown)]
        self.save(f"case_{index:04d}.png", captioned(panels, f"case {index}", legend))


class BoxWriter(RowWriter):
    """Write ``boxes.json``: the boxes found in every image, in the pixels of the image as it is stored.

    The file holds ``frame``, a sentence on the coordinates, ``classes``, and ``images``: a list of ``image``, the name
    of the file in the user's folder (nothing is taken from headers), and ``boxes``, best first, each with ``box`` (x1,
    y1, x2, y2), ``label`` (position in ``classes``), ``class`` and ``score``.

    Expects decollated items with ``name`` and, in the output, ``pred`` (M, 6). See `RowWriter` for several processes.

    Args:
        path: file to write; it appears whole when the evaluation ends.
        class_names: names of the classes.
    """

    def __init__(self, path: str | Path, class_names: Sequence[str]) -> None:
        super().__init__(path)
        self.class_names = list(class_names)

    def row(self, item: Mapping[str, Any], output: Mapping[str, Any]) -> dict[str, Any]:
        """Name and boxes of an image."""
        return {"image": str(item["name"]), "boxes": [self._box(row) for row in _valid(output["pred"]).tolist()]}

    def _box(self, row: Sequence[float]) -> dict[str, Any]:
        label = int(row[4])
        return {
            "box": [round(value, 2) for value in row[:4]],
            "label": label,
            "class": self.class_names[label],
            "score": round(row[5], 6),
        }

    def save(self, rows: Sequence[dict[str, Any]], path: Path) -> str:
        """Write the file."""
        content = {"frame": FRAME, "classes": self.class_names, "images": list(rows)}
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        return f"{sum(len(image['boxes']) for image in rows)} boxes of {len(rows)} images"


def _valid(rows: Any) -> np.ndarray:
    """Rows that are no padding, on the CPU."""
    table = torch.as_tensor(rows).detach().float().cpu().numpy()
    return table[table[:, 4] >= 0]


def _boxed(picture: np.ndarray, rows: np.ndarray, scale: float) -> np.ndarray:
    """Picture with boxes over it, the best last and so on top; with their scores if they have any."""
    canvas = Image.fromarray(picture)
    pen = ImageDraw.Draw(canvas)
    for row in rows[::-1]:
        ink = colour(int(row[4]))
        left, top, right, bottom = (round(float(value) * scale) for value in row[:4])
        pen.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), outline=ink, width=2)
        if len(row) > 5:
            write_line(canvas, (left + 3, top + 2), f"{row[5]:.2f}", ink)
    return np.asarray(canvas)
