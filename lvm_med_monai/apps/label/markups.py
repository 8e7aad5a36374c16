"""Boxes of a network, and the same boxes as markups of 3D Slicer."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
SCHEMA = "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/markups-schema-v1.0.3.json"


def boxes_of(answer: NDArray[np.floating]) -> NDArray[np.float64]:
    """Boxes of an answer, without the rows that only fill it up.

    Args:
        answer: (N, 6) of x1, y1, x2, y2, label, score; rows of -1 are empty.

    Raises:
        ValueError: the array has another shape.
    """
    boxes = np.asarray(answer, dtype=np.float64)
    if boxes.ndim != 2 or boxes.shape[1] != 6:
        raise ValueError(f"boxes are (N, 6): x1, y1, x2, y2, label, score; got {boxes.shape}")
    return boxes[boxes[:, 5] >= 0]


def box_in_space(box: Sequence[float], affine: NDArray[np.floating]) -> tuple[list[float], list[float], list[float]]:
    """Where a box lies in the patient.

    A pixel's index is its centre, so a box of pixel borders x1..x2 reaches from index x1 - 1/2 to x2 - 1/2. It is one
    slice thick.

    Args:
        box: x1, y1, x2, y2 as borders of pixels, x along the first axis.
        affine: (4, 4) from indices to RAS mm.

    Returns:
        Centre in LPS mm, lengths of the sides in mm, and the 3 x 3 orientation row by row.
    """
    to_lps = RAS_TO_LPS @ np.asarray(affine, dtype=np.float64)
    x1, y1, x2, y2 = box
    centre = to_lps @ np.array([(x1 + x2 - 1) / 2, (y1 + y2 - 1) / 2, 0, 1])
    spacing = np.linalg.norm(to_lps[:3, :3], axis=0)
    sides = np.array([x2 - x1, y2 - y1, 1]) * spacing
    orientation = to_lps[:3, :3] / spacing
    return centre[:3].tolist(), sides.tolist(), orientation.ravel().tolist()


def slicer_markups(found: Sequence[Mapping[str, Any]], affine: NDArray[np.floating]) -> Path:
    """Write boxes as regions of interest that 3D Slicer loads.

    MONAI Label's own writer takes the first three numbers of a box for its centre, which suits boxes in volumes alone.

    Args:
        found: ``label``, ``score`` and ``box`` of each, as in `box_in_space`.
        affine: (4, 4) from indices to RAS mm.

    Returns:
        A temporary file.
    """
    markups = []
    for number, item in enumerate(found, start=1):
        centre, sides, orientation = box_in_space(item["box"], affine)
        point = {"id": str(number), "label": item["label"], "position": centre, "orientation": orientation}
        markups.append(
            {
                "type": "ROI",
                "name": f"{item['label']} {item['score']:.2f}",
                "coordinateSystem": "LPS",
                "coordinateUnits": "mm",
                "roiType": "Box",
                "center": centre,
                "orientation": orientation,
                "size": sides,
                "insideOut": False,
                "controlPoints": [{**point, "selected": True, "visibility": True, "positionStatus": "defined"}],
            }
        )
    with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False, encoding="utf-8") as file:
        json.dump({"@schema": SCHEMA, "markups": markups}, file, indent=1)
    return Path(file.name)
