"""Handler that writes bootstrap intervals of an evaluation's metrics."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.utils import string_list_all_gather

from lvm_med_monai.data.unknown import is_known
from lvm_med_monai.metrics import CaseStatistic, bootstrap_intervals, mean_of_cases
from lvm_med_monai.whole_file import whole_file


class BootstrapIntervals:
    """Write ``intervals.json``: every metric with its interval, by resampling the cases that were evaluated.

    Metrics with a ``CaseStatistic`` (all of ``lvm_med_monai.metrics``) are recomputed on every resample; of others,
    such as MONAI's ``MeanDice``, the rows of ``engine.state.metric_details`` are averaged, NaN left out. The first
    process writes. With ``group_key`` in several processes, attach it in all of them, as it gathers names.

    The file holds ``level``, ``method``, ``samples``, ``seed``, ``unit`` (``case`` or the group key), ``cases``,
    ``units`` and ``metrics``: by name ``value``, ``low``, ``high``, ``standard_error`` and ``undefined`` as in
    ``lvm_med_monai.metrics.Interval``; null stands for what is not defined.

    Args:
        save_dir: folder of the file.
        metrics: names under which metrics are attached; ``"*"`` for all that keep details.
        level: share of resamples in an interval.
        samples: number of resamples.
        seed: of the resamples.
        method: ``percentile`` or ``BCa``.
        group_key: entry of a datalist's items that names a case's patient; patients are resampled whole. Items that
            lack it are an error, unless all do: then each case is a unit.
    """

    def __init__(
        self,
        save_dir: str | Path,
        metrics: str | Sequence[str] = "*",
        level: float = 0.95,
        samples: int = 1000,
        seed: int = 0,
        method: Literal["percentile", "BCa"] = "percentile",
        group_key: str | None = None,
    ) -> None:
        self.path = Path(save_dir) / "intervals.json"
        self.metrics = metrics
        self.settings: dict[str, Any] = {"level": level, "method": method, "samples": samples, "seed": seed}
        self.group_key = group_key
        self._groups: list[str] = []

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator, after its metrics."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        if self.group_key is not None:
            engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def _start(self, engine: Engine) -> None:
        self._groups = []

    def _collect(self, engine: Engine) -> None:
        groups = (item.get(self.group_key) for item in engine.state.batch)
        self._groups.extend(str(group).strip() if is_known(group) else "" for group in groups)

    def __call__(self, engine: Engine) -> None:
        """Write the file."""
        groups = self._all_groups()
        if idist.get_rank() > 0:
            return
        statistics = self._statistics(engine)
        intervals = {}
        for statistic in statistics.values():
            intervals.update(bootstrap_intervals(statistic, groups=groups, **self.settings))
        cases = max(statistic.cases for statistic in statistics.values())
        report = {
            **self.settings,
            "unit": self.group_key if groups else "case",
            "cases": cases,
            "units": len(set(groups)) if groups else cases,
            "metrics": {name: _json(asdict(interval)) for name, interval in intervals.items()},
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(self.path) as partial:
            partial.write_text(json.dumps(report, indent=2, allow_nan=False) + "\n", encoding="utf-8")

    def _all_groups(self) -> list[str] | None:
        """Groups of all cases of all processes, in the order of the metrics' rows.

        Raises:
            ValueError: some items have a group and some have none.
        """
        if self.group_key is None:
            return None
        groups = string_list_all_gather(self._groups) if idist.get_world_size() > 1 else self._groups
        lacking = sum(not group for group in groups)
        if lacking == len(groups):
            return None
        if lacking:
            raise ValueError(
                f"{lacking} of {len(groups)} items of the datalist have no {self.group_key!r}: name it in all or none"
            )
        return groups

    def _statistics(self, engine: Engine) -> dict[str, CaseStatistic]:
        """Statistic of every metric that is asked for.

        Raises:
            ValueError: a metric keeps no cases.
        """
        details = getattr(engine.state, "metric_details", {})
        own = getattr(engine.state, "case_statistics", {})
        names = list({**details, **own}) if self.metrics == "*" else list(np.atleast_1d(self.metrics))
        lacking = [name for name in names if name not in own and name not in details]
        if lacking or not names:
            raise ValueError(
                f"no cases of {', '.join(lacking) or 'any metric'} to resample: attach metrics that keep details, "
                "under the names given to BootstrapIntervals"
            )
        return {name: own.get(name) or mean_of_cases(name, _table(details[name])) for name in names}


def _table(details: Any) -> np.ndarray:
    """Details of one of MONAI's metrics as an array (N, ...)."""
    return details.cpu().numpy() if isinstance(details, torch.Tensor) else np.asarray(details)


def _json(entry: dict[str, Any]) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in entry.items()
    }
