"""What pictures of cases are drawn with: grey and colour images, masks over them, captions."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import binary_erosion

_FIRST_COLOURS = [(230, 85, 60), (70, 160, 240), (110, 200, 70), (245, 190, 40), (190, 110, 230), (60, 210, 200)]
"""Colours of the first classes, told apart on grey by most eyes; further ones go round the colour circle."""
FILL = 0.3
"""Opacity of a mask inside its outline."""
TEXT_HEIGHT = 14
LINE = 20
"""Height of a text and of its line, in pixels."""
INK, PAPER = (235, 235, 235), (20, 20, 20)
"""Colours of text and of its ground."""


def colour(index: int) -> tuple[int, int, int]:
    """Colour (red, green, blue) of the class of this index, the first class being 0."""
    if index < len(_FIRST_COLOURS):
        return _FIRST_COLOURS[index]
    red, green, blue = colorsys.hsv_to_rgb((index * 0.618034) % 1, 0.65, 0.95)
    return int(red * 255), int(green * 255), int(blue * 255)


def as_picture(channels: np.ndarray) -> np.ndarray:
    """Image of any range as 8-bit RGB: its 0.5th to 99.5th percentile become black to white.

    Args:
        channels: shape (C, H, W); three channels are taken as red, green and blue, of other numbers the first as grey.

    Returns:
        Shape (H, W, 3).
    """
    shown = channels if channels.shape[0] == 3 else channels[:1].repeat(3, axis=0)
    shown = np.nan_to_num(shown.astype(np.float32))
    low, high = np.percentile(shown, [0.5, 99.5])
    scaled = (shown - low) / max(high - low, np.finfo(np.float32).tiny)
    return (np.clip(scaled, 0, 1) * 255).round().astype(np.uint8).transpose(1, 2, 0)


def overlay(picture: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Picture (H, W, 3) under the classes of a label map (H, W): outlines full, insides translucent, 0 clear."""
    drawn = picture.astype(np.float32)
    for label in np.unique(labels[labels > 0]):
        mask = labels == label
        tint = np.array(colour(int(label) - 1), dtype=np.float32)
        outline = mask & ~binary_erosion(mask)
        drawn[mask] = (1 - FILL) * drawn[mask] + FILL * tint
        drawn[outline] = tint
    return drawn.round().astype(np.uint8)


def enlarge(array: np.ndarray, pixel: Sequence[float], side: int) -> np.ndarray:
    """Array (H, W[, 3]) by nearest neighbours so that its pixels are square and its longer side has ``side`` pixels.

    Args:
        array: 8-bit picture or label map.
        pixel: height and width of a pixel, in any unit.
        side: pixels of the longer side.
    """
    height, width = array.shape[0] * pixel[0], array.shape[1] * pixel[1]
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(array).resize(size, Image.Resampling.NEAREST))


def captioned(panels: Sequence[tuple[str, np.ndarray]], title: str, legend: Sequence[tuple[int, str]]) -> Image.Image:
    """Panels side by side, each under its name, under a title, over a legend.

    Args:
        panels: names and pictures (H, W, 3) of one size.
        title: first line.
        legend: index of a class's colour and its text; as many lines as needed.
    """
    gap = LINE // 2
    height, width = panels[0][1].shape[:2]
    total = len(panels) * (width + gap) + gap
    lines = _legend_lines(legend, total - 2 * gap)
    canvas = Image.new("RGB", (total, height + LINE * (2 + len(lines)) + 2 * gap), PAPER)
    pen = ImageDraw.Draw(canvas)
    pen.text((gap, gap // 2), shortened(title, total - 2 * gap), fill=INK, font=_font())
    for index, (name, picture) in enumerate(panels):
        left = gap + index * (width + gap)
        pen.text((left, LINE + gap // 2), shortened(name, width), fill=INK, font=_font())
        canvas.paste(Image.fromarray(picture), (left, 2 * LINE + gap // 2))
    top = 2 * LINE + gap + height
    for number, line in enumerate(lines):
        left = gap
        for index, text in line:
            box = (left, top + number * LINE + 3, left + TEXT_HEIGHT, top + number * LINE + 3 + TEXT_HEIGHT)
            pen.rectangle(box, fill=colour(index))
            pen.text((left + LINE, top + number * LINE), text, fill=INK, font=_font())
            left += _entry_width(text)
    return canvas


def shortened(text: str, width: int) -> str:
    """Text that fits into a width in pixels, its end cut and marked if needed."""
    if text_width(text) <= width:
        return text
    while text and text_width(text + "...") > width:
        text = text[:-1]
    return text + "..."


def text_width(text: str) -> int:
    """Width of a line of text in pixels."""
    return int(_font().getlength(text))


def write_line(canvas: Image.Image, place: tuple[int, int], text: str, ink: tuple[int, int, int] = INK) -> None:
    """Write one line of text with its top left corner at ``place``."""
    ImageDraw.Draw(canvas).text(place, text, fill=ink, font=_font())


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(TEXT_HEIGHT)


def _entry_width(text: str) -> int:
    return LINE + text_width(text) + LINE


def _legend_lines(legend: Sequence[tuple[int, str]], width: int) -> list[list[tuple[int, str]]]:
    """Entries of a legend, broken into lines of a width."""
    lines: list[list[tuple[int, str]]] = []
    left = width + 1
    for index, text in legend:
        fitting = shortened(text, width - 2 * LINE)
        if left + _entry_width(fitting) > width:
            lines.append([])
            left = 0
        lines[-1].append((index, fitting))
        left += _entry_width(fitting)
    return lines
