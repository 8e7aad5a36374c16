"""Handler that draws how well a classifier's confidence fits the truth."""

from __future__ import annotations

import json
from pathlib import Path

import ignite.distributed as idist
import numpy as np
from ignite.engine import Engine, Events
from matplotlib.figure import Figure

from lvm_med_monai.metrics.calibration import Reliability, reliability
from lvm_med_monai.whole_file import whole_file


class ReliabilityPicture:
    """Write ``reliability.png`` and ``reliability.json``: confidence against truth, and the calibration error.

    Takes the probabilities of all processes from a metric of ``lvm_med_monai.metrics`` such as ``AreaUnderROC``; the
    first process writes. See ``lvm_med_monai.metrics.calibration`` for what is counted.

    Args:
        output_dir: folder of the two files.
        metric: name under which the metric is attached; the first one if None.
        bins: number of bins.
    """

    def __init__(self, output_dir: str | Path, metric: str | None = None, bins: int = 10) -> None:
        self.output_dir = Path(output_dir)
        self.metric = metric
        self.bins = bins

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator, after its metrics."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the files.

        Raises:
            ValueError: no metric that keeps probabilities is attached.
        """
        if idist.get_rank() > 0:
            return
        scored = getattr(engine.state, "scored_cases", {})
        name = self.metric or next(iter(scored), None)
        if name not in scored:
            raise ValueError(
                f"no probabilities under {name!r}: attach AreaUnderROC, Accuracy or another metric of classification "
                f"of lvm_med_monai.metrics; there are {', '.join(scored) or 'none'}"
            )
        scores, labels = scored[name]
        result = reliability(np.asarray(scores, np.float64), np.asarray(labels), self.bins)
        self.output_dir.mkdir(parents=True, exist_ok=True)
        with whole_file(self.output_dir / "reliability.png") as partial:
            draw(result, "share of positives" if labels.ndim == 2 else "share of right answers").savefig(
                partial, format="png", dpi=100
            )
        with whole_file(self.output_dir / "reliability.json") as partial:
            partial.write_text(json.dumps(_table(result), indent=2, allow_nan=False) + "\n", encoding="utf-8")


def draw(result: Reliability, ordinate: str) -> Figure:
    """Bars of truth against confidence with the diagonal, over the number of answers in each bin."""
    figure = Figure(figsize=(5, 6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    width = np.diff(result.edges)
    upper.bar(
        result.edges[:-1], np.nan_to_num(result.frequency), width, align="edge", color="#7fb0d8", edgecolor="white"
    )
    upper.plot(result.confidence, result.frequency, "o", color="#1f4e79", label="mean confidence of a bin")
    upper.plot([0, 1], [0, 1], "--", color="grey", label="perfect calibration")
    upper.set(xlim=(0, 1), ylim=(0, 1), ylabel=ordinate)
    upper.set_title(f"expected calibration error {result.error:.3f}, {result.counts.sum()} answers")
    upper.legend(loc="upper left")
    bars = lower.bar(result.edges[:-1], result.counts, width, align="edge", color="#c4c4c4", edgecolor="white")
    lower.bar_label(bars, [str(count) if count else "" for count in result.counts], fontsize=8)
    lower.set(xlabel="confidence", ylabel="answers")
    lower.margins(y=0.25)
    return figure


def _table(result: Reliability) -> dict[str, object]:
    def numbers(values: np.ndarray) -> list[float | None]:
        return [float(value) if np.isfinite(value) else None for value in values]

    return {
        "expected_calibration_error": result.error if np.isfinite(result.error) else None,
        "edges": numbers(result.edges),
        "counts": [int(count) for count in result.counts],
        "confidence": numbers(result.confidence),
        "frequency": numbers(result.frequency),
    }
