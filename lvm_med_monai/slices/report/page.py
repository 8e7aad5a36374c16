"""The page that `stats` writes: one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from lvm_med_monai.slices.reason_meanings import REASON_MEANINGS
from lvm_med_monai.slices.report.charts import bars, bytes_text, histogram, number_text
from lvm_med_monai.slices.stack import FLAGS

UNITS = {"HU": "HU", "raw": "", "display": ""}
DISTRIBUTIONS = {
    "spacing_x": ("Pixel spacing", "mm"),
    "slice_spacing": ("Slice spacing", "mm"),
    "width": ("Width", "pixels"),
    "height": ("Height", "pixels"),
    "foreground_fraction": ("Foreground", "of the pixels"),
}
STYLE = """
:root { color-scheme: light dark; --ink: #1b1f27; --faint: #626b7a; --page: #f4f5f7; --card: #ffffff; --line: #dfe3e8;
  --bar: #2f6fb2; --band: #f3c86a66; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaee; --faint: #98a0ad; --page: #14171c; --card: #1c2027;
  --line: #2e343e; --bar: #6aa9e9; --band: #f3c86a33; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 14px/1.45 system-ui, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 28px 20px 48px; }
h1 { font-size: 24px; margin: 0 0 4px; } h2 { font-size: 17px; margin: 34px 0 12px; }
h3 { font-size: 13px; margin: 0 0 10px; font-weight: 600; }
p { margin: 0; } .lead, .note, .median, .none { color: var(--faint); }
.note, .median { font-size: 12px; } .median { margin-top: 4px; }
.tiles, .cards { display: grid; gap: 12px; }
.tiles { grid-template-columns: repeat(auto-fit, minmax(112px, 1fr)); margin-top: 20px; }
.cards { grid-template-columns: repeat(auto-fit, minmax(310px, 1fr)); align-items: start; }
.wide { grid-column: 1 / -1; }
.tile, .card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 14px 16px; }
.tile b { display: block; font-size: 20px; font-variant-numeric: tabular-nums; } .tile span { color: var(--faint); }
.bars { display: grid; grid-template-columns: minmax(90px, max-content) 1fr max-content; gap: 6px 12px; }
.card:not(.wide) .name { max-width: 150px; }
.name { overflow-wrap: anywhere; } .wide .name { max-width: 460px; }
.track { align-self: center; } .bar { height: 12px; min-width: 2px; background: var(--bar); border-radius: 2px; }
.count { text-align: right; font-variant-numeric: tabular-nums; }
svg { width: 100%; height: auto; display: block; } .bin { fill: var(--bar); } .band { fill: var(--band); }
.axis { stroke: var(--line); } svg text { fill: var(--faint); font: 11px system-ui, sans-serif; }
table { border-collapse: collapse; width: 100%; } th { font-weight: 600; }
th, td { text-align: right; padding: 6px 10px; border-bottom: 1px solid var(--line);
  font-variant-numeric: tabular-nums; }
th:first-child, td:first-child { text-align: left; overflow-wrap: anywhere; }
tr:last-child td { border-bottom: 0; }
"""


def page(found: Mapping[str, Any]) -> str:
    """HTML of the statistics that `statistics.collect` returns; it names data sets and splits, but no patient."""
    counts = found["counts"]
    sections = [
        ("Data sets", [_card("", _table(found["datasets"], "data set"), wide=True)]),
        ("Splits", [_card("", _table(found["splits"], "split"), wide=True)]),
        (
            "Slices by",
            [
                _card(title, bars(counts[field]))
                for field, title in (
                    ("modality", "Modality"),
                    ("plane", "Plane"),
                    ("source_format", "Format of the source"),
                    ("units", "Units"),
                    ("codec", "Codec"),
                )
            ]
            + [_card("Size, columns x rows", bars(found["sizes"], most=8))],
        ),
        ("Distributions", _distributions(found["distributions"])),
        ("Intensities", [_intensity(entry) for entry in found["intensities"]]),
        ("Flags", [_card("Slices that carry a flag", bars(found["flags"], 40, FLAGS), wide=True)]),
        ("Left out", _left_out(found)),
    ]
    body = "".join(
        f'<h2>{escape(title)}</h2><div class="cards">{"".join(cards)}</div>' for title, cards in sections if cards
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>Extracted slices</title>'
        f"<style>{STYLE}</style></head><body><main><h1>Extracted slices</h1>"
        f'<p class="lead">lvm_med_monai {escape(str(found["tool_version"]))}</p>{_tiles(found["totals"])}{body}'
        "</main></body></html>\n"
    )


def _tiles(totals: Mapping[str, int]) -> str:
    shown = [
        ("slices", f"{totals['slices']:,}"),
        ("patients", f"{totals['patients']:,}"),
        ("series", f"{totals['series']:,}"),
        ("files read", f"{totals['files_in']:,}"),
        ("files with slices", f"{totals['files_in_manifest']:,}"),
        ("files rejected", f"{totals['files_in_rejects']:,}"),
        ("of them burned-in risk", f"{totals['files_quarantined']:,}"),
        ("shards", bytes_text(totals["shard_bytes"])),
    ]
    tiles = (f'<div class="tile"><b>{value}</b><span>{name}</span></div>' for name, value in shown)
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _card(title: str, content: str, wide: bool = False) -> str:
    heading = f"<h3>{escape(title)}</h3>" if title else ""
    return f'<div class="card{" wide" if wide else ""}">{heading}{content}</div>'


def _table(rows: Sequence[Mapping[str, Any]], name: str) -> str:
    head = f"<tr><th>{name}</th><th>slices</th><th>patients</th><th>images</th></tr>"
    lines = (
        f"<tr><td>{escape(row['name'] or 'undecided')}</td><td>{row['slices']:,}</td><td>{row['patients']:,}</td>"
        f"<td>{bytes_text(row['image_bytes'])}</td></tr>"
        for row in rows
    )
    return f"<table>{head}{''.join(lines)}</table>"


def _distributions(found: Mapping[str, Any]) -> list[str]:
    return [
        _card(f"{title}, {unit}", histogram(found[field], unit))
        for field, (title, unit) in DISTRIBUTIONS.items()
        if field in found
    ]


def _intensity(entry: Mapping[str, Any]) -> str:
    unit = UNITS.get(entry["units"], "")
    colour = ", colour" if entry["channels"] == 3 else ""
    title = f"{entry['modality']}, {entry['units']}{colour}: {entry['slices']} slices sampled"
    lower, upper = entry["window"]
    note = f'<p class="note">shaded: default window {number_text(lower)} to {number_text(upper)} {unit}</p>'
    return _card(title, histogram(entry, unit, entry["window"]) + note)


def _left_out(found: Mapping[str, Any]) -> list[str]:
    # backquotes are for the Markdown of the docs
    meanings: dict[str, str] = {reason: meaning.replace("`", "") for reason, meaning in REASON_MEANINGS.items()}
    by_count = [dict(sorted(found[name].items(), key=lambda item: -item[1])) for name in ("rejects", "dropped")]
    return [
        _card("Files that gave no slice", bars(by_count[0], 40, meanings), wide=True),
        _card("Slices or tiles that the policy left out", bars(by_count[1], 40, meanings), wide=True),
    ]
