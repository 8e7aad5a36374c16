"""Answers that are not masks, drawn as masks: viewers such as OHIF list and show models that segment, and no others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FRAME_SHARE = 0.03
"""Width of a frame, as a share of the shorter side of the picture."""
LEAST_WIDTH = 2
"""Pixels; a thinner line is lost when a viewer shrinks the picture."""


def frames(shape: Sequence[int], classes: Sequence[int]) -> NDArray[np.uint8]:
    """A frame around every slice for each class, the first outermost.

    A frame says what the picture is taken for and marks no place in it.

    Args:
        shape: (W, H) or (W, H, D).
        classes: values to draw; none leaves the mask empty. Frames that meet the centre end there.
    """
    mask = np.zeros(shape, dtype=np.uint8)
    width = line_width(shape)
    for place, value in enumerate(classes):
        outer = place * width
        inner = outer + width
        box = (slice(outer, max(shape[0] - outer, outer)), slice(outer, max(shape[1] - outer, outer)))
        hole = mask[inner : shape[0] - inner, inner : shape[1] - inner].copy()
        mask[box] = value
        mask[inner : shape[0] - inner, inner : shape[1] - inner] = hole
    return mask


def outlines(shape: Sequence[int], boxes: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Outlines of boxes on every slice, drawn inwards; of two that cross, that with the higher score is on top.

    Args:
        shape: (W, H) or (W, H, D).
        boxes: (N, 6) of x1, y1, x2, y2, label, score in pixels, x along the first axis; drawn with label + 1.
    """
    mask = np.zeros(shape, dtype=np.uint8)
    width = max(LEAST_WIDTH, line_width(shape) // 3)
    for x1, y1, x2, y2, label, _ in sorted(boxes.tolist(), key=lambda box: box[5]):
        left, top = max(int(np.floor(x1)), 0), max(int(np.floor(y1)), 0)
        right, bottom = min(int(np.ceil(x2)), shape[0]), min(int(np.ceil(y2)), shape[1])
        inside = (
            slice(left + width, max(right - width, left + width)),
            slice(top + width, max(bottom - width, top + width)),
        )
        kept = mask[inside].copy()
        mask[left:right, top:bottom] = int(label) + 1
        mask[inside] = kept
    return mask


def line_width(shape: Sequence[int]) -> int:
    """Width of a frame in pixels."""
    return max(LEAST_WIDTH, round(FRAME_SHARE * min(shape[:2])))
