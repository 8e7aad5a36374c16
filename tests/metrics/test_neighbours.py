from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from lvm_med_monai.metrics import neighbour_accuracy


@pytest.mark.parametrize("k", [1, 5, 40], ids=["nearest", "five", "more than the bank"])
def test_it_agrees_with_scikit_learn_on_weighted_votes(k):
    generator = np.random.default_rng(0)
    bank, queries = generator.normal(size=(30, 6)), generator.normal(size=(50, 6))
    known, wanted = generator.integers(0, 4, 30), generator.integers(0, 4, 50)
    reference = KNeighborsClassifier(
        min(k, 30), metric="cosine", weights=lambda distance: np.exp(-distance / 0.07)
    ).fit(bank, known)
    expected = (reference.predict(queries) == wanted).mean()
    found = neighbour_accuracy(torch.tensor(bank), known.tolist(), torch.tensor(queries), wanted.tolist(), k)
    assert found == pytest.approx(expected, abs=1e-9)


def test_a_label_that_the_bank_lacks_is_wrong():
    axes = torch.eye(2)
    assert neighbour_accuracy(axes, ["a", "b"], axes, ["a", "c"], k=1) == 0.5


@pytest.mark.parametrize(
    ("bank", "labels"), [(torch.zeros(0, 2), []), (torch.eye(2), ["a"])], ids=["empty", "labels missing"]
)
def test_features_and_labels_must_fit(bank, labels):
    with pytest.raises(ValueError, match="as many labels"):
        neighbour_accuracy(bank, labels, torch.eye(2), ["a", "b"])
