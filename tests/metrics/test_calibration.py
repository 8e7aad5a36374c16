from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import binary_calibration_error, multiclass_calibration_error

from lvm_med_monai.metrics.calibration import reliability


@pytest.mark.parametrize("bins", [5, 10, 15])
def test_error_of_several_classes_equals_torchmetrics(bins):
    rng = np.random.default_rng(bins)
    scores = rng.dirichlet(np.ones(4), 200).astype(np.float32)
    labels = rng.integers(0, 4, 200)
    wanted = multiclass_calibration_error(torch.tensor(scores), torch.tensor(labels), 4, n_bins=bins)
    assert reliability(scores, labels, bins).error == pytest.approx(float(wanted), abs=1e-6)


def test_error_of_several_labels_equals_torchmetrics_without_unknown_ones():
    rng = np.random.default_rng(0)
    scores, labels = rng.random((90, 3), dtype=np.float32), rng.integers(-1, 2, (90, 3))
    known = labels >= 0
    wanted = binary_calibration_error(torch.tensor(scores[known]), torch.tensor(labels[known]), n_bins=10)
    found = reliability(scores, labels)
    assert found.error == pytest.approx(float(wanted), abs=1e-6)
    assert found.counts.sum() == known.sum()


def test_bins_hold_their_upper_edge_and_the_first_also_zero():
    scores = np.array([[0.0], [0.5], [0.51], [1.0]])
    found = reliability(scores, np.array([[0], [1], [1], [1]]), bins=2)
    assert found.counts.tolist() == [2, 2]
    np.testing.assert_allclose(found.confidence, [0.25, 0.755])
    np.testing.assert_allclose(found.frequency, [0.5, 1])


def test_empty_bins_and_empty_cases():
    found = reliability(np.array([[0.9, 0.1]]), np.array([0]), bins=4)
    np.testing.assert_equal(found.confidence, [np.nan, np.nan, np.nan, 0.9])
    assert found.error == pytest.approx(0.1)
    assert np.isnan(reliability(np.array([[0.9, 0.1]]), np.array([-1])).error)
