from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from lvm_med_monai.metrics import CaseStatistic, auroc, bootstrap_intervals, mean_of_cases


def set_statistic(scores, truth):
    return CaseStatistic(len(truth), lambda cases: {"auroc": auroc(scores[cases], truth[cases])})


def example(count=40, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, count)
    return rng.normal(size=count) + truth, truth


def resamples(count, samples, seed):
    """The indices that SciPy draws."""
    return np.random.default_rng(seed).integers(0, count, (samples, count))


def test_percentile_intervals_equal_a_plain_loop_of_scikit_learn():
    scores, truth = example()
    drawn = [roc_auc_score(truth[cases], scores[cases]) for cases in resamples(40, 300, seed=3)]
    found = bootstrap_intervals(set_statistic(scores, truth), samples=300, seed=3)["auroc"]
    assert found.value == pytest.approx(roc_auc_score(truth, scores), abs=1e-6)
    assert (found.low, found.high) == pytest.approx(np.percentile(drawn, [2.5, 97.5]), abs=1e-6)
    assert found.standard_error == pytest.approx(np.std(drawn, ddof=1), abs=1e-6)
    assert found.undefined == 0


def test_bca_intervals_equal_their_formula():
    """Efron and Tibshirani, An Introduction to the Bootstrap, equations 14.9 to 14.15."""
    values = np.random.default_rng(1).exponential(size=30)
    found = bootstrap_intervals(mean_of_cases("m", values), samples=800, seed=5, method="BCa", level=0.9)["m"]
    drawn = values[resamples(30, 800, seed=5)].mean(1)
    below = (np.sum(drawn < values.mean()) + np.sum(drawn <= values.mean())) / (2 * len(drawn))
    bias = norm.ppf(below)
    left_out = np.array([np.delete(values, index).mean() for index in range(30)])
    away = left_out.mean() - left_out
    acceleration = (away**3).sum() / (6 * (away**2).sum() ** 1.5)
    ends = []
    for tail in (0.05, 0.95):
        moved = bias + norm.ppf(tail)
        ends.append(np.percentile(drawn, 100 * norm.cdf(bias + moved / (1 - acceleration * moved))))
    assert (found.low, found.high) == pytest.approx(ends, abs=1e-6)


def test_groups_are_drawn_whole():
    values = np.array([0.0, 0.0, 1.0, 1.0, 0.2])
    statistic = mean_of_cases("m", values)
    found = bootstrap_intervals(statistic, samples=300, seed=2, groups=["b", "b", "a", "a", "c"])["m"]
    units = [values[2:4], values[:2], values[4:]]
    drawn = [np.concatenate([units[unit] for unit in row]).mean() for row in resamples(3, 300, seed=2)]
    assert (found.low, found.high) == pytest.approx(np.percentile(drawn, [2.5, 97.5]))
    singles = bootstrap_intervals(statistic, samples=300, seed=2)["m"]
    assert found.high - found.low > singles.high - singles.low


def test_equal_seeds_give_equal_intervals_and_levels_widen_them():
    statistic = set_statistic(*example())
    one, again = (bootstrap_intervals(statistic, seed=7) for _ in range(2))
    assert one == again
    assert one != bootstrap_intervals(statistic, seed=8)
    narrow = bootstrap_intervals(statistic, level=0.5, seed=7)["auroc"]
    assert one["auroc"].low < narrow.low < narrow.high < one["auroc"].high


def test_undefined_resamples_are_counted_and_left_out():
    scores, truth = example(count=8)
    truth[:] = 0
    truth[0] = 1
    found = bootstrap_intervals(set_statistic(scores, truth), samples=400)["auroc"]
    without = sum(0 not in cases for cases in resamples(8, 400, seed=0))
    assert without > 50
    only = sum((cases == 0).all() for cases in resamples(8, 400, seed=0))
    assert found.undefined == without + only
    assert np.isfinite([found.low, found.high]).all()


def test_a_number_that_is_never_defined_has_no_interval():
    scores, truth = example(count=10)
    found = bootstrap_intervals(set_statistic(scores, truth * 0), samples=50)["auroc"]
    assert np.isnan([found.value, found.low, found.high, found.standard_error]).all()
    assert found.undefined == 50


@pytest.mark.parametrize("method", ["percentile", "BCa"])
def test_a_constant_has_an_interval_of_no_length(method):
    found = bootstrap_intervals(mean_of_cases("m", np.ones(10)), samples=50, method=method)["m"]
    assert (found.low, found.high, found.standard_error) == (1, 1, 0)


@pytest.mark.parametrize("groups", [None, ["p"]], ids=["one case", "one patient"])
def test_one_unit_has_no_interval(groups):
    found = bootstrap_intervals(mean_of_cases("m", np.array([0.7])), groups=groups)["m"]
    assert found.value == 0.7
    assert np.isnan([found.low, found.high]).all()


def test_means_of_cases_leave_out_what_is_not_known():
    values = np.array([[1.0, np.nan], [0.0, np.nan], [np.nan, np.nan]])
    numbers = mean_of_cases("m", values, ["a b", "c"]).compute(np.array([0, 0, 1, 2]))
    np.testing.assert_equal(numbers, {"m": 2 / 3, "m_a_b": 2 / 3, "m_c": np.nan})


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(11)
    hits = 0
    for trial in range(100):
        found = bootstrap_intervals(mean_of_cases("m", rng.random(40)), samples=150, seed=trial)["m"]
        hits += found.low <= 0.5 <= found.high
    assert 0.88 <= hits / 100 <= 0.99


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": 1.0}, "a level in"),
        ({"level": 0}, "a level in"),
        ({"samples": 0}, "samples >= 1"),
        ({"groups": ["a"]}, "1 groups are given for 5 cases"),
    ],
    ids=str,
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_intervals(mean_of_cases("m", np.arange(5.0)), **options)
