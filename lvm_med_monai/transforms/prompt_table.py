"""Prompts as one more channel of an image, so that a network of one input sees both.

The channel is no picture of the prompts, which would round their places and blur under resampling, but a table: its
first numbers, row by row, are kind, x and y of each prompt, in pixels of that very image. It must be made after every
transform that moves pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

NO_PROMPT = 0
BACKGROUND_CLICK, FOREGROUND_CLICK, BOX_START, BOX_END, PADDING = 1, 2, 3, 4, 5
"""Kinds of prompts. A box is two: its first corner and its last one. SAM wants padding where there is no box."""
MAX_PROMPTS = 32
"""Prompts that a table holds."""

Point = tuple[float, float]
Box = tuple[float, float, float, float]


def prompt_rows(
    foreground: Sequence[Point] = (), background: Sequence[Point] = (), box: Box | None = None
) -> list[tuple[float, float, float]]:
    """Rows of the table for one slice, in the order in which SAM takes them; none if nothing is pointed at.

    Clicks on background alone point at nothing.

    Args:
        foreground: x and y of clicks inside the object.
        background: x and y of clicks outside.
        box: x and y of the first and the last pixel.
    """
    if not foreground and box is None:
        return []
    rows = [(float(FOREGROUND_CLICK), float(x), float(y)) for x, y in foreground]
    rows += [(float(BACKGROUND_CLICK), float(x), float(y)) for x, y in background]
    if box is None:
        return [*rows, (float(PADDING), 0.0, 0.0)]
    return [*rows, (float(BOX_START), float(box[0]), float(box[1])), (float(BOX_END), float(box[2]), float(box[3]))]


def prompt_plane(rows: Sequence[tuple[float, float, float]], height: int, width: int) -> torch.Tensor:
    """The channel of prompts of one slice, shape (H, W), float32.

    Raises:
        ValueError: there are more prompts than the table or the picture has place for.
    """
    if len(rows) > MAX_PROMPTS or height * width < 3 * MAX_PROMPTS:
        raise ValueError(
            f"{len(rows)} prompts in a slice of {height} x {width} pixels: at most {MAX_PROMPTS} (a box counts two, "
            f"clicks without one one more) fit into a slice of at least {3 * MAX_PROMPTS} pixels"
        )
    plane = torch.zeros(height * width)
    table = torch.tensor(rows, dtype=torch.float32).flatten()
    plane[: len(table)] = table
    return plane.reshape(height, width)


def encode_prompts(
    image: torch.Tensor,
    foreground: Sequence[Point] = (),
    background: Sequence[Point] = (),
    box: Box | None = None,
) -> torch.Tensor:
    """An image (C, H, W) with its channel of prompts, (C + 1, H, W); places as in `prompt_rows`.

    Example:
        >>> encoded = encode_prompts(torch.zeros(3, 16, 16), box=(2, 3, 9, 8))
        >>> encoded[3].flatten()[:6].tolist()
        [3.0, 2.0, 3.0, 4.0, 9.0, 8.0]
    """
    plane = prompt_plane(prompt_rows(foreground, background, box), image.shape[-2], image.shape[-1])
    return torch.cat([image, plane.to(image)[None]])
