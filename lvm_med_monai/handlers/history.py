"""Handler that keeps the metrics of a run, epoch by epoch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

from ignite.engine import Engine, Events
from torch.optim import Optimizer

from lvm_med_monai.whole_file import whole_file


class History:
    """Append the trainer's metrics to a file of JSON lines: one before training, one an epoch.

    A line holds ``epoch``, ``iteration``, ``learning_rate``, ``loss`` (mean over the epoch's steps, unless a metric has
    that name) and every metric of the trainer and, in epochs that validate, of the evaluator. Lines of epochs that a
    resumed run repeats are dropped, so an epoch never appears twice. Attach after the handlers that compute metrics,
    the one that validates and the one that resumes.

    Args:
        path: file to write.
        optimizer: whose first learning rate is recorded.
        evaluator: validates during the training; None leaves its metrics out.
    """

    def __init__(self, path: str | Path, optimizer: Optimizer, evaluator: Engine | None = None) -> None:
        self.path = Path(path)
        self.optimizer = optimizer
        self.evaluator = evaluator
        self._losses: list[float] = []

    def attach(self, engine: Engine) -> None:
        """Register with a trainer."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._add_loss)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def _start(self, engine: Engine) -> None:
        if engine.state.epoch == 0:
            self(engine)

    def _add_loss(self, engine: Engine) -> None:
        output = engine.state.output
        item = output[0] if isinstance(output, list) else output
        if isinstance(item, Mapping) and "loss" in item:
            self._losses.append(float(item["loss"]))

    def _metrics(self, engine: Engine) -> dict[str, float]:
        metrics = {"loss": fmean(self._losses)} if self._losses else {}
        self._losses.clear()
        metrics |= {name: float(value) for name, value in engine.state.metrics.items()}
        if self.evaluator is not None and self.evaluator.state.epoch == engine.state.epoch:
            metrics |= {name: float(value) for name, value in self.evaluator.state.metrics.items()}
        return metrics

    def __call__(self, engine: Engine) -> None:
        """Write this epoch's line after those of earlier epochs."""
        line = {
            "epoch": engine.state.epoch,
            "iteration": engine.state.iteration,
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            **self._metrics(engine),
        }
        earlier = [entry for entry in read_history(self.path) if entry["epoch"] < line["epoch"]]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(self.path) as partial:
            partial.write_text("".join(json.dumps(entry) + "\n" for entry in [*earlier, line]), encoding="utf-8")


def write_metrics(metrics: Mapping[str, float], path: str | Path) -> None:
    """Write metrics as a JSON file that appears whole, creating its folder."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial:
        partial.write_text(json.dumps(dict(metrics), indent=2) + "\n", encoding="utf-8")


def read_history(path: str | Path) -> list[dict[str, float]]:
    """Lines of a history file, oldest first; none if there is no file."""
    path = Path(path)
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
