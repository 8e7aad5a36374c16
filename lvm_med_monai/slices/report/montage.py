"""A contact sheet a data set: what was extracted, at a glance."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageDraw, ImageFont

from lvm_med_monai.slices.report.montage_choice import KEYS, choose
from lvm_med_monai.slices.stack import FLAGS
from lvm_med_monai.slices.store.manifest import read_manifest
from lvm_med_monai.slices.store.shards import read_slice
from lvm_med_monai.slices.windows import Window, to_uint8

if TYPE_CHECKING:
    import pyarrow

PICTURE, CAPTION, GAP, MARGIN = 176, 34, 8, 24
"""Pixels: edge of a picture, height of the text below it, space between tiles, space around all."""
COLUMNS = 8
BACKGROUND, PANEL, TEXT, FAINT = "#14171c", "#000000", "#e8eaee", "#98a0ad"
ID_DIGITS = 6
"""Digits of a slice's hash that are shown; they find its stack in the manifest."""
COLOURS = ("#ffb000", "#4fc3f7", "#ff6e6e", "#7ddc8a", "#d59bff", "#ffd9a0", "#8ea8ff", "#f49ac1", "#b8c46a", "#5fd3c4")
Font = Any


def montage(out: str | os.PathLike[str], folder: str | os.PathLike[str], count: int = 48) -> list[Path]:
    """Draw a contact sheet of every data set.

    Each slice is shown through its default window, at the aspect of its pixel spacing, with modality, plane, position
    in mm, size, spacing, and its flags as coloured marks. Nothing names a patient: of hashes, the first six digits of
    the slice's id are shown.

    Args:
        out: folder that `extract` wrote.
        folder: where the PNG files go, ``01_<data set>.png`` and so on; made if it is missing.
        count: slices a sheet, at least 1.

    Returns:
        The files.

    Raises:
        FileNotFoundError: ``out`` was not written by `extract`.
        ValueError: ``count`` is below 1, or there is no slice at all, or one that cannot be read.
    """
    import pyarrow.compute as pc

    if count < 1:
        raise ValueError(f"a contact sheet shows at least 1 slice, got {count}")
    table = read_manifest(out, [*KEYS, "dataset", "slice_index", "flags"])
    if not len(table):
        raise ValueError(f"{out} holds no slices to show; rejects.parquet says why")
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    whole = read_manifest(out)
    paths = []
    for number, name in enumerate(sorted(pc.unique(table["dataset"]).to_pylist()), start=1):
        mask = pc.equal(whole["dataset"], name)
        own = whole.filter(mask)
        rows = own.take(choose(own, count)).to_pylist()
        path = target / f"{number:02d}_{re.sub(r'[^A-Za-z0-9._-]+', '_', name)}.png"
        sheet(out, rows, _title(own, len(rows))).save(path, optimize=True)
        paths.append(path)
    return paths


def _title(table: pyarrow.Table, shown: int) -> tuple[str, str]:
    patients = len(table["patient_h"].unique())
    stacks = table.select(["series_h", "stack_index"]).group_by(["series_h", "stack_index"]).aggregate([]).num_rows
    counts = (f"{len(table):,} slices", f"{stacks:,} stack{'s' * (stacks > 1)}")
    people = f"{patients:,} patient{'s' * (patients > 1)}"
    return table["dataset"][0].as_py(), f"{', '.join(counts)} of {people}; {shown} shown"


def sheet(out: str | os.PathLike[str], rows: list[dict[str, Any]], title: tuple[str, str]) -> Image.Image:
    """A contact sheet of some rows of a manifest, in their order.

    Args:
        out: folder of the manifest.
        rows: rows, at least one.
        title: name, and the line below it.
    """
    flags = sorted({flag for row in rows for flag in row["flags"]})
    legend = {flag: (str(number), COLOURS[(number - 1) % len(COLOURS)]) for number, flag in enumerate(flags, start=1)}
    columns = min(COLUMNS, max(len(rows), 4))
    lines = -(-len(rows) // columns)
    top, step = MARGIN + 58, (PICTURE + GAP, PICTURE + CAPTION + GAP)
    width = 2 * MARGIN + columns * step[0] - GAP
    bottom = top + lines * step[1] + GAP
    image = Image.new("RGB", (width, bottom + 22 * len(flags) + MARGIN), BACKGROUND)
    draw = ImageDraw.Draw(image)
    draw.text((MARGIN, MARGIN - 4), _fitted(title[0], _font(22), width - 2 * MARGIN), TEXT, _font(22))
    draw.text((MARGIN, MARGIN + 26), title[1], FAINT, _font(13))
    for number, row in enumerate(rows):
        corner = (MARGIN + number % columns * step[0], top + number // columns * step[1])
        _draw_tile(image, draw, corner, out, row, legend)
    for number, (flag, mark) in enumerate(legend.items()):
        y = bottom + 22 * number
        _draw_mark(draw, (MARGIN, y), mark)
        text = _fitted(f"{flag}: {FLAGS.get(flag, '')}", _font(12), width - 2 * MARGIN - 26)
        draw.text((MARGIN + 26, y + 1), text, FAINT, _font(12))
    return image


def _draw_tile(
    image: Image.Image,
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    out: str | os.PathLike[str],
    row: dict[str, Any],
    legend: dict[str, tuple[str, str]],
) -> None:
    x, y = corner
    draw.rectangle((x, y, x + PICTURE - 1, y + PICTURE - 1), PANEL)
    picture = _picture(out, row)
    image.paste(picture, (x + (PICTURE - picture.width) // 2, y + (PICTURE - picture.height) // 2))
    for number, flag in enumerate(row["flags"]):
        _draw_mark(draw, (x + 3 + number % 9 * 19, y + 3 + number // 9 * 19), legend[flag])
    for line, (text, colour) in enumerate(zip(caption(row), (TEXT, FAINT), strict=True)):
        draw.text((x + 1, y + PICTURE + 3 + 15 * line), _fitted(text, _font(11), PICTURE), colour, _font(11))


def caption(row: dict[str, Any]) -> tuple[str, str]:
    """Two lines about a slice: what it is and where, and its size, spacing and id."""
    first = [row["modality"] if row["modality"] != "unknown" else "modality unknown"]
    first += [row["plane"]] if row["plane"] != "unknown" else []
    first += [f"{row['position_mm']:+.1f} mm"] if row["position_mm"] is not None else []
    second = [f"{row['width']}x{row['height']}"]
    second += [f"{row['spacing_x']:.2g}x{row['spacing_y']:.2g} mm"] if row["spacing_x"] is not None else []
    return ",  ".join(first), ",  ".join([*second, row["slice_id"][:ID_DIGITS]])


def _picture(out: str | os.PathLike[str], row: dict[str, Any]) -> Image.Image:
    """The windowed slice, as large as fits, with square millimetres."""
    pixels = read_slice(out, row)
    shown = pixels if pixels.ndim == 3 else to_uint8(pixels, Window(row["window_lower"], row["window_upper"]))
    height, width = row["height"] * (row["spacing_y"] or 1.0), row["width"] * (row["spacing_x"] or 1.0)
    factor = PICTURE / max(height, width)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return Image.fromarray(shown).resize(size, Image.Resampling.LANCZOS).convert("RGB")


def _draw_mark(draw: ImageDraw.ImageDraw, corner: tuple[int, int], mark: tuple[str, str]) -> None:
    x, y = corner
    draw.rounded_rectangle((x, y, x + 17, y + 17), 4, mark[1], "#000000")
    draw.text((x + 9, y + 9), mark[0], "#000000", _font(12), anchor="mm")


def _fitted(text: str, font: Font, width: float) -> str:
    """The text, cut with dots where it would not fit; letters that the font lacks stay as they are."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."


def _font(size: int) -> Font:
    return ImageFont.load_default(size)
