"""Bootstrap intervals: how far a number measured on a few cases may be from that of all such cases."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import bootstrap

from lvm_med_monai.metrics.cases import CaseStatistic


@dataclass(frozen=True)
class Interval:
    """A number with its bootstrap interval.

    Attributes:
        value: number of all cases.
        low: lower end; NaN if there is no interval.
        high: upper end; NaN if there is no interval.
        standard_error: standard deviation of the number over the resamples.
        undefined: resamples in which the number is not defined, such as AUROC without a positive; they are left out.
    """

    value: float
    low: float
    high: float
    standard_error: float
    undefined: int


def bootstrap_intervals(
    statistic: CaseStatistic,
    level: float = 0.95,
    samples: int = 1000,
    seed: int = 0,
    method: Literal["percentile", "BCa"] = "percentile",
    groups: Sequence[str] | None = None,
) -> dict[str, Interval]:
    """Intervals of all numbers of a statistic, by resampling cases, or groups of cases, with replacement.

    Every resample is recomputed from its cases, so numbers of sets (AUROC, kappa, mean average precision) are treated
    as means are. The intervals describe the choice of test cases alone: not of training cases, nor of seeds.

    Args:
        statistic: what to compute of which cases.
        level: share of the resamples that lies in the interval, in (0, 1).
        samples: number of resamples.
        seed: of the resamples; the same cases are drawn for every statistic with as many cases.
        method: ``percentile``, or ``BCa`` (bias-corrected and accelerated, ``scipy.stats.bootstrap``), which is NaN if
            a resample is undefined.
        groups: name of each case's group, such as its patient; groups are drawn whole.

    Returns:
        Interval by name. With fewer than two cases (or groups) there is none, and its ends are NaN; a number that is
        the same in all resamples has an interval of length 0.

    Raises:
        ValueError: not as many groups as cases, or a level or number of samples that make no interval.
    """
    if not 0 < level < 1 or samples < 1:
        raise ValueError(f"an interval needs a level in (0, 1) and samples >= 1, got {level} and {samples}")
    units = _units(statistic.cases, groups)
    values = statistic.compute(np.arange(statistic.cases))
    names = list(values)
    if len(units) < 2:
        return {name: Interval(values[name], np.nan, np.nan, np.nan, 0) for name in names}

    def of_units(chosen: np.ndarray, axis: int = -1) -> np.ndarray:
        flat = chosen.reshape(-1, chosen.shape[-1])
        rows = [list(statistic.compute(np.concatenate([units[unit] for unit in row])).values()) for row in flat]
        return np.array(rows, dtype=np.float64).T.reshape(len(names), *chosen.shape[:-1])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # degenerate and undefined resamples are handled below
        result = bootstrap(
            (np.arange(len(units)),),
            of_units,
            n_resamples=samples,
            confidence_level=level,
            method=method,
            rng=np.random.default_rng(seed),
        )
    drawn = result.bootstrap_distribution
    ends = _percentiles(drawn, level) if method == "percentile" else np.stack(result.confidence_interval)
    intervals = {}
    for index, name in enumerate(names):
        known = drawn[index][np.isfinite(drawn[index])]
        low, high = ends[:, index]
        if len(known) and np.ptp(known) == 0:
            low = high = known[0]
        error = float(np.std(known, ddof=1)) if len(known) > 1 else np.nan
        intervals[name] = Interval(values[name], float(low), float(high), error, samples - len(known))
    return intervals


def _units(cases: int, groups: Sequence[str] | None) -> list[np.ndarray]:
    """Indices of the cases of each unit that is drawn."""
    if groups is None:
        return [np.array([case]) for case in range(cases)]
    if len(groups) != cases:
        raise ValueError(f"{len(groups)} groups are given for {cases} cases")
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    return [np.flatnonzero(group == index) for index in range(group.max() + 1)]


def _percentiles(drawn: np.ndarray, level: float) -> np.ndarray:
    """Ends (2, K) of the middle of each row of (K, samples), NaN left out."""
    tails = [50 * (1 - level), 50 * (1 + level)]
    return np.stack(
        [np.percentile(row[np.isfinite(row)], tails) if np.isfinite(row).any() else [np.nan] * 2 for row in drawn], 1
    )
