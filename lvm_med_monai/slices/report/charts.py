"""Charts as plain HTML and inline SVG: no script, no link, no font that is not there already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

WIDTH, HEIGHT, AXIS = 320, 110, 18
"""Of a histogram, in units of its view box."""


def bars(counts: Mapping[str, int], most: int = 12, notes: Mapping[str, str] | None = None) -> str:
    """Horizontal bars, one a value.

    Args:
        counts: value -> count, in the order shown; an empty value is called "undecided".
        most: bars; the rest is summed up as one line.
        notes: value -> an explanation below it.
    """
    if not counts:
        return '<p class="none">none</p>'
    shown = list(counts.items())[:most]
    rest = sum(counts.values()) - sum(count for _, count in shown)
    largest = max(counts.values())
    lines = [_bar(name or "undecided", count, count / largest, (notes or {}).get(name, "")) for name, count in shown]
    if rest:
        lines.append(_bar(f"{len(counts) - most} others", rest, min(1.0, rest / largest), ""))
    return f'<div class="bars">{"".join(lines)}</div>'


def _bar(name: str, count: int, share: float, note: str) -> str:
    explained = f'<div class="note">{escape(note)}</div>' if note else ""
    return (
        f'<div class="name">{escape(name)}{explained}</div>'
        f'<div class="track"><div class="bar" style="width:{100 * share:.2f}%"></div></div>'
        f'<div class="count">{count:,}</div>'
    )


def histogram(spread: Mapping[str, Any], unit: str, band: Sequence[float] | None = None) -> str:
    """A histogram with its range below and its median named.

    Args:
        spread: as `statistics.distribution` returns it.
        unit: of the values.
        band: a range of values to shade, such as the default window.
    """
    edges, counts = spread["edges"], spread["counts"]
    low, high = edges[0], edges[-1]
    largest = max(counts)
    width = WIDTH / len(counts)
    shapes = [_band(band, low, high)] if band and high > low else []
    for number, count in enumerate(counts):
        tall = HEIGHT * count / largest
        if count:
            tall = max(tall, 0.8)
            shapes.append(
                f'<rect class="bin" x="{number * width:.2f}" y="{HEIGHT - tall:.2f}" '
                f'width="{max(width - 0.6, 0.4):.2f}" height="{tall:.2f}"/>'
            )
    shapes.append(f'<line class="axis" x1="0" x2="{WIDTH}" y1="{HEIGHT}" y2="{HEIGHT}"/>')
    ends = [(0, "start", low), (WIDTH, "end", high)] if high > low else [(WIDTH / 2, "middle", low)]
    for x, anchor, value in ends:
        shapes.append(f'<text x="{x}" y="{HEIGHT + AXIS - 4}" text-anchor="{anchor}">{number_text(value)}</text>')
    label = f"median {number_text(spread['percentiles']['50'])} {unit}".strip()
    box = f'viewBox="0 0 {WIDTH} {HEIGHT + AXIS}"'
    picture = f'<svg {box} role="img" aria-label="{escape(label)}">{"".join(shapes)}</svg>'
    return f'{picture}<p class="median">{escape(label)}, n = {spread["n"]:,}</p>'


def _band(band: Sequence[float], low: float, high: float) -> str:
    left, right = (WIDTH * (min(max(value, low), high) - low) / (high - low) for value in band)
    return f'<rect class="band" x="{left:.2f}" y="0" width="{max(right - left, 0):.2f}" height="{HEIGHT}"/>'


def number_text(value: float) -> str:
    """A number for people: at most 4 digits, no exponent below a billion."""
    if value == round(value) and abs(value) < 1e9:
        return f"{value:,.0f}"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.3g}"


def bytes_text(count: int) -> str:
    """A number of bytes for people, in powers of 1,000."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:,.3g} TB"
