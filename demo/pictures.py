"""Pictures of the report, as matplotlib figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import matplotlib.lines
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from demo.plan import ORGANS
from lvm_med_monai.data import SliceShardDataset

COLOURS = {
    "graph_matching": "#0b6e8a",
    "simclr": "#d1762b",
    "paper": "#8a3b6e",
    "first_order": "#4c8a3b",
    "scratch": "#777777",
}
ORGAN_COLOURS = ("#ff5a4f", "#4fc3ff", "#ffd54f", "#7dff7d")
_GREY = {"cmap": "gray", "vmin": 0, "vmax": 1}


def montage(root: Path, columns: int = 10) -> Figure:
    """Evenly spaced slices of every data set that was extracted, windowed as they are trained on."""
    datasets = sorted({row["dataset"] for row in SliceShardDataset(root).rows})
    figure = Figure(figsize=(columns, 1.25 * len(datasets)))
    figure.subplots_adjust(left=0.005, right=0.995, bottom=0.005, top=0.96, wspace=0.03, hspace=0.25)
    axes = figure.subplots(len(datasets), columns, squeeze=False)
    for line, name in zip(axes, datasets, strict=True):
        slices = SliceShardDataset(root, where={"dataset": [name]})
        chosen = np.linspace(0, len(slices) - 1, columns).round().astype(int)
        for axis, index in zip(line, chosen, strict=True):
            axis.imshow(slices[int(index)]["image"].mean(0), **_GREY)
            axis.set_axis_off()
        row = slices.rows[0]
        line[0].set_title(
            f"{name}: {len(slices)} slices, {row['modality']}, {row['source_format']}", loc="left", fontsize=8
        )
    return figure


def curves(histories: Mapping[str, Sequence[Sequence[Mapping[str, float]]]], names: Mapping[str, str]) -> Figure:
    """Loss of each arm in its own units, and matching accuracy on seen and unseen scans; one thin line a seed."""
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    panels = figure.subplots(1, 3)
    for arm, runs in histories.items():
        for seed, run in enumerate(runs):
            style = {"color": COLOURS[arm], "label": names[arm] if seed == 0 else None, "linewidth": 1.4}
            loss = [(line["iteration"], line["loss"]) for line in run if "loss" in line]
            panels[0].plot(*zip(*_relative(loss), strict=True), **style)
            for panel, probe in zip(panels[1:], ("seen", "unseen_mild"), strict=True):
                points = _changes(run, f"{probe}_accuracy")
                panel.plot(*zip(*points, strict=True), marker="o", markersize=3, **style)
    titles = (
        "training loss, relative to its first epoch",
        "matching accuracy, seen scans",
        "matching accuracy, unseen scans, mild views",
    )
    for panel, title in zip(panels, titles, strict=True):
        panel.set_title(title, fontsize=9)
        panel.set_xlabel("step", fontsize=8)
        panel.tick_params(labelsize=8)
        panel.grid(alpha=0.25)
        panel.set_ylim(bottom=0)
    for panel in panels[1:]:
        panel.axhline(1 / 16, color="#999999", linestyle=":", linewidth=1)
        panel.text(0, 1 / 16 + 0.01, "chance", fontsize=7, color="#777777")
        panel.set_ylim(0, 1)
    panels[1].legend(fontsize=7, loc="lower right")
    return figure


def _relative(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Divide a curve by its first value, so that losses of different units share a panel."""
    return [(x, y / points[0][1]) for x, y in points]


def _changes(run: Sequence[Mapping[str, float]], key: str) -> list[tuple[float, float]]:
    """Points of a curve at which the probe was evaluated anew: between probes, the last value is only carried on."""
    points: list[tuple[float, float]] = []
    for line in run:
        if not points or line[key] != points[-1][1] or line is run[-1]:
            points.append((line["iteration"], line[key]))
    return points


def overlays(image: NDArray, truth: NDArray, predictions: Mapping[str, NDArray], titles: Mapping[str, str]) -> Figure:
    """Test slices with the reference mask and each arm's prediction, as outlines.

    Args:
        image: CT of the test scan in [0, 1], shape (D, H, W), head first, as radiologists look at it.
        truth: label map of the same shape.
        predictions: label map of each arm.
        titles: how to call each arm.
    """
    rows = np.linspace(0, len(image) - 1, 5).round().astype(int)[1:4]
    columns = {"reference": truth, **predictions}
    figure = Figure(figsize=(2.9 * len(columns), 2.5 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), len(columns), squeeze=False)
    for line, index in zip(axes, rows, strict=True):
        for axis, (name, mask) in zip(line, columns.items(), strict=True):
            axis.imshow(image[index], **_GREY)
            for label, colour in enumerate(ORGAN_COLOURS, start=1):
                if (mask[index] == label).any():
                    axis.contour(mask[index] == label, [0.5], colors=colour, linewidths=1.1)
            axis.set_axis_off()
            if index == rows[0]:
                axis.set_title(titles.get(name, name), fontsize=9)
    handles = [
        mpl.lines.Line2D([], [], color=colour, label=organ) for organ, colour in zip(ORGANS, ORGAN_COLOURS, strict=True)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return figure


def matched_graphs(panels: Mapping[str, Mapping[str, torch.Tensor]]) -> Figure:
    """Two graphs of one batch side by side, with the second-order matching drawn between them.

    Args:
        panels: title to ``images_s``, ``images_t`` (N, H, W), ``edges_s``, ``edges_t`` (E, 2) and ``matched`` (N,).
            Both graphs are laid out alike, so a right match is a horizontal line.
    """
    figure = Figure(figsize=(5.8 * len(panels), 2.9), layout="constrained")
    for axis, (title, panel) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        nodes = len(panel["matched"])
        angle = np.linspace(0, 2 * np.pi, nodes, endpoint=False)
        ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        centres = {"s": ring - np.array([1.6, 0]), "t": ring + np.array([1.6, 0])}
        for view, place in centres.items():
            for start, end in panel[f"edges_{view}"].tolist():
                axis.plot(*place[[start, end]].T, color="#c8d3d8", linewidth=0.6, zorder=1)
            for index, (x, y) in enumerate(place):
                extent = (x - 0.17, x + 0.17, y - 0.17, y + 0.17)
                axis.imshow(panel[f"images_{view}"][index], extent=extent, zorder=3, **_GREY)
        for source, target in enumerate(panel["matched"].tolist()):
            colour = "#2e9e4f" if source == target else "#d63b3b"
            ends = np.stack([centres["s"][source], centres["t"][target]])
            axis.plot(*ends.T, color=colour, linewidth=1.3, alpha=0.85, zorder=2)
        right = int((panel["matched"] == torch.arange(nodes)).sum())
        axis.set_title(f"{title}: {right} of {nodes} right", fontsize=10)
        axis.set_xlim(-2.9, 2.9)
        axis.set_ylim(-1.3, 1.3)
        axis.set_aspect("equal")
        axis.set_axis_off()
    return figure
