"""The report: one HTML file that needs nothing beside it."""

from __future__ import annotations

import base64
import html
import io
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from matplotlib.figure import Figure

from demo.plan import ORGANS, Plan
from demo.results import PROBES

_TEMPLATE = Path(__file__).with_name("report.html")
_PROBE_TITLES = {
    "seen": "scans seen in pretraining, training views",
    "unseen_mild": "unseen scans, slices 10 mm apart, mild views",
    "unseen": "unseen scans, slices 10 mm apart, training views",
    "neighbours": "20 neighbouring slices of one unseen scan, 2 mm apart",
}
_MEASURES = {"accuracy": "matching", "retrieval": "nearest neighbour"}


def write_report(plan: Plan, metrics: Mapping[str, Any], figures: Mapping[str, Figure], path: Path) -> None:
    """Write the report of a finished demonstration.

    Args:
        plan: what was compared.
        metrics: content of ``metrics.json``.
        figures: pictures by their name in the template.
        path: file to write.
    """
    titles = {arm.name: html.escape(arm.title) for arm in plan.arms}
    page = Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        {name: _picture(figure) for name, figure in figures.items()},
        minutes=f"{metrics['seconds_total'] / 60:.1f}",
        probes=_probe_table(metrics, titles),
        dice=_dice_table(metrics, titles),
        seeds=f"{plan.fine_tuning_seeds} fine-tuning seeds ({plan.pretraining_seeds} of pretraining)",
        verdict=verdict(metrics["segmentation"]["liver_dice"], titles),
        machine=html.escape(metrics["machine"]),
        versions=html.escape(", ".join(f"{name} {version}" for name, version in metrics["versions"].items())),
        stages=html.escape(", ".join(f"{name} {seconds:.0f}" for name, seconds in metrics["stages"].items())),
    )
    path.write_text(page, encoding="utf-8")


def verdict(dice: Mapping[str, Sequence[float]], titles: Mapping[str, str]) -> str:
    """What may be said about the liver: where the ranges over seeds overlap with those from scratch, nothing."""
    scratch = dice["scratch"]
    apart = [titles[arm] for arm, values in dice.items() if arm != "scratch" and _apart(values, scratch)]
    if not apart:
        return (
            "<b>No difference can be claimed.</b> The range over seeds of every arm overlaps with that from scratch; "
            "one training scan and one test scan cannot separate the arms."
        )
    return (
        f"<b>No difference can be claimed</b>, although the range of {' and of '.join(apart)} lies outside that from "
        f"scratch: {len(scratch)} seeds, one training scan and one test scan are too few."
    )


def _apart(values: Sequence[float], others: Sequence[float]) -> bool:
    return min(values) > max(others) or max(values) < min(others)


def _spread(values: Sequence[float]) -> str:
    """Mean and standard deviation over seeds, or the value of a single one."""
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{statistics.mean(values):.3f} &plusmn; {statistics.stdev(values):.3f}"


def _probe_table(metrics: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    arms = metrics["pretraining"]["probes"]
    rows = {
        f"{kind}: {_PROBE_TITLES[probe]}": [
            f"{statistics.mean(arms[arm][probe][measure]['first']):.2f} &rarr; "
            f"{statistics.mean(arms[arm][probe][measure]['last']):.2f}"
            for arm in arms
        ]
        for measure, kind in _MEASURES.items()
        for probe in PROBES
    }
    return _table("share of slices found", [titles[arm] for arm in arms], rows)


def _dice_table(metrics: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    segmentation = metrics["segmentation"]
    rows = {title: [_spread(segmentation[f"{organ}_dice"][arm]) for organ in ORGANS] for arm, title in titles.items()}
    return _table("Dice on the test scan", ORGANS, rows)


def _table(corner: str, columns: Sequence[str], rows: Mapping[str, Sequence[str]]) -> str:
    """HTML table of cells that are HTML already."""
    head = "".join(f"<th>{cell}</th>" for cell in (corner, *columns))
    body = "".join(
        "<tr>" + "".join(f"<td>{cell}</td>" for cell in (name, *cells)) + "</tr>" for name, cells in rows.items()
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _picture(figure: Figure) -> str:
    """A figure as an image inside the page."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return f"<img alt='' src='data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}'>"
