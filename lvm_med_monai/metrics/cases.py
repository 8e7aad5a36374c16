"""Metrics as ignite handlers that keep a row of numbers for each case, so that cases can be resampled."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine
from monai.handlers import IgniteMetricHandler, from_engine
from monai.metrics import CumulativeIterationMetric


@dataclass(frozen=True)
class CaseStatistic:
    """Named numbers of any choice of a run's cases: what a bootstrap recomputes.

    Attributes:
        cases: number of cases.
        compute: takes indices of cases, repeats allowed, and returns the numbers by name, the same names each time;
            NaN where a number is not defined for the chosen cases.
    """

    cases: int
    compute: Callable[[np.ndarray], dict[str, float]]


def mean_of_cases(name: str, values: np.ndarray, classes: Sequence[str] | None = None) -> CaseStatistic:
    """Statistic of a metric that is the mean of one value a case (and class).

    Args:
        name: the metric's.
        values: shape (N,) or (N, C): N cases, C classes; NaN is left out.
        classes: names of the C classes; ``class0``, ``class1``, ... without, as in ``MetricsSaver``'s tables.

    Returns:
        Statistic of ``<name>``, the mean over cases of each case's mean over classes, as MONAI's reduction ``mean``
        has it, and of ``<name>_<class>``, the mean over cases, if there are several classes.
    """
    table = np.asarray(values, dtype=np.float64).reshape(len(values), -1)
    names = class_names(classes, table.shape[1])

    def compute(cases: np.ndarray) -> dict[str, float]:
        chosen = table[cases]
        return named(name, float(mean(mean(chosen, axis=1))), names, mean(chosen, axis=0))

    return CaseStatistic(len(table), compute)


def mean(values: np.ndarray, axis: int | None = None) -> np.ndarray:
    """Mean that leaves out NaN, and is NaN where nothing is left."""
    known = np.isfinite(values)
    count = known.sum(axis)
    return np.where(known, values, 0).sum(axis) / np.where(count > 0, count, np.nan)


def class_names(classes: Sequence[str] | None, count: int) -> list[str]:
    """Names of columns, ``class0``, ``class1``, ... by default.

    Raises:
        ValueError: as many names as columns are needed.
    """
    if classes is None:
        return [f"class{index}" for index in range(count)]
    if len(classes) != count:
        raise ValueError(f"{len(classes)} class names are given for {count} classes: {', '.join(classes)}")
    return list(classes)


def named(name: str, whole: float, classes: Sequence[str], values: np.ndarray) -> dict[str, float]:
    """``{name: whole, name_<class>: value, ...}``, without the classes if there is only one."""
    if len(classes) < 2:
        return {name: whole}
    return {name: whole} | {f"{name}_{key(kind)}": float(value) for kind, value in zip(classes, values, strict=True)}


def key(text: str) -> str:
    """Name of a class as part of a metric's name: lower case, anything but letters and digits as underscores."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


class _Rows(CumulativeIterationMetric):
    """Buffer of one row a case, gathered over processes."""

    def __init__(self, row: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.row = row

    def _compute_tensor(self, y_pred: torch.Tensor, y: torch.Tensor | None = None, **kwargs: Any) -> torch.Tensor:
        raise NotImplementedError("rows are made case by case")

    def __call__(self, y_pred: Sequence[Any], y: Sequence[Any] | None = None, **kwargs: Any) -> torch.Tensor:
        """Add a row of every case of a batch."""
        pairs = zip(y_pred, y if y is not None else [], strict=True)
        rows = torch.stack([self.row(_plain(pred), _plain(label)) for pred, label in pairs])
        self.extend(rows)
        return rows

    def aggregate(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """All rows of all processes."""
        return self.get_buffer()


def _plain(value: Any) -> torch.Tensor:
    """Tensor without metadata; decollation turns single numbers into Python's."""
    tensor = torch.as_tensor(value).detach()
    return tensor.as_tensor() if hasattr(tensor, "as_tensor") else tensor


class CaseMetric(IgniteMetricHandler, ABC):
    """Metric over cases that publishes its mean, its classes and its cases.

    Attached to an engine as ``name``, it writes at the end of an epoch, gathered over processes:

    - ``engine.state.metrics[name]``: the mean over classes, and ``name_<class>`` of each class if there are several;
    - ``engine.state.metric_details[name]``: a row a case for ``MetricsSaver``;
    - ``engine.state.case_statistics[name]``: a ``CaseStatistic`` for ``BootstrapIntervals``.

    Args:
        classes: names of the classes.
        output_transform: takes predictions and truths out of the engine's output, lists of one tensor a case.
        save_details: whether to publish the cases too.
    """

    def __init__(
        self,
        classes: Sequence[str] | None = None,
        output_transform: Callable[[Any], Any] | None = None,
        save_details: bool = True,
    ) -> None:
        self.classes = list(classes) if classes is not None else None
        super().__init__(
            metric_fn=_Rows(self.row),
            output_transform=output_transform or from_engine(["pred", "label"]),
            save_details=save_details,
        )

    @abstractmethod
    def row(self, pred: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Numbers of one case, shape (K,), of which the metric is computed."""

    @abstractmethod
    def statistic(self, name: str, rows: np.ndarray) -> CaseStatistic:
        """Metric of the rows (N, K) of all cases."""

    def details(self, rows: torch.Tensor) -> torch.Tensor:
        """What a table of cases shows, shape (N, columns)."""
        return rows

    def compute(self) -> dict[str, float]:
        """Numbers by name.

        Raises:
            ValueError: no case was seen.
        """
        rows = self.metric_fn.aggregate()
        if rows is None:
            raise ValueError(f"metric {self._name} has seen no case: the data of this evaluation are empty")
        self._is_reduced = True
        rows = rows.cpu()
        statistic = self.statistic(str(self._name), rows.numpy().astype(np.float64))
        if self.save_details and self._engine is not None:
            self._engine.state.metric_details[self._name] = self.details(rows)
            self._publish(self._engine, rows, statistic)
        return statistic.compute(np.arange(len(rows)))

    def _publish(self, engine: Engine, rows: torch.Tensor, statistic: CaseStatistic) -> None:
        if not hasattr(engine.state, "case_statistics"):
            engine.state.case_statistics = {}
        engine.state.case_statistics[self._name] = statistic

    def completed(self, engine: Engine, name: str) -> None:
        """Write the numbers to the engine's metrics."""
        engine.state.metrics.update(self.compute())
