from __future__ import annotations

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from sklearn.metrics import average_precision_score
from sklearn.neighbors import KNeighborsClassifier

from lvm_med_monai.metrics import NeighbourAccuracy, RetrievalPrecision
from lvm_med_monai.metrics.retrieval import cosines_to_others, neighbour_hits, ranking_precision

ALONE = np.full(40, -1)


def data(n=40, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    return (rng.normal(size=(n, 6)) + np.eye(6)[labels]).astype(np.float32), labels


@pytest.mark.parametrize("seed", range(3))
def test_one_neighbour_agrees_with_scikit_learn(seed):
    features, labels = data(seed=seed)
    hits = neighbour_hits(features, labels, ALONE, k=1)
    for query in range(len(labels)):
        others = np.arange(len(labels)) != query
        judge = KNeighborsClassifier(1, metric="cosine").fit(features[others], labels[others])
        assert hits[query] == (judge.predict(features[query : query + 1])[0] == labels[query])


@pytest.mark.parametrize("seed", range(3))
def test_rankings_agree_with_scikit_learn(seed):
    features, labels = data(seed=seed)
    values = ranking_precision(features, labels, ALONE)
    cosines = cosines_to_others(features, ALONE)
    for query in range(len(labels)):
        others = np.arange(len(labels)) != query
        expected = average_precision_score(labels[others] == labels[query], cosines[query, others])
        assert values[query] == pytest.approx(expected, abs=1e-6)


def on_circle(*degrees):
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_votes_win_and_of_equal_votes_the_nearest():
    features = on_circle(0, 1, 2, 3, 4)
    assert neighbour_hits(features, np.array([0, 1, 0, 0, 1]), ALONE[:5], k=3)[0] == 1  # two of three
    assert neighbour_hits(features, np.array([0, 1, 0, 0, 1]), ALONE[:5], k=2)[0] == 0  # one each, 1 is nearer
    assert neighbour_hits(features, np.array([0, 1, 0, 0, 1]), ALONE[:5], k=99)[0] == 0  # two each


def test_other_slices_of_the_patient_are_no_neighbours():
    features, labels = on_circle(0, 1, 50, 60), np.array([0, 0, 1, 0])
    assert neighbour_hits(features, labels, np.array([5, 6, 7, 8]), k=1)[0] == 1
    assert neighbour_hits(features, labels, np.array([5, 5, 7, 8]), k=1)[0] == 0
    assert ranking_precision(features, labels, np.array([5, 5, 7, 8]))[0] == 1 / 2
    assert np.isnan(neighbour_hits(features, labels, np.array([5, 5, 7, 5]), k=1)[0])  # no other patient has the label


def test_unknown_and_lonely_labels_are_left_out():
    features, labels = on_circle(0, 1, 2, 3), np.array([0, -1, 0, 1])
    np.testing.assert_equal(neighbour_hits(features, labels, ALONE[:4], k=1), [1, np.nan, 0, np.nan])
    np.testing.assert_equal(ranking_precision(features, labels, ALONE[:4]), [1, np.nan, 1 / 2, np.nan])


def test_length_does_not_matter_and_zeros_are_far_from_all():
    features, labels = data()
    scaled = features * np.random.default_rng(1).uniform(0.1, 9, (len(features), 1)).astype(np.float32)
    np.testing.assert_array_equal(neighbour_hits(scaled, labels, ALONE, 3), neighbour_hits(features, labels, ALONE, 3))
    features[0] = 0
    assert np.isfinite(cosines_to_others(features, ALONE)[0, 1:]).all()


def evaluated(metric, features, labels):
    engine = Engine(lambda engine, batch: batch)
    engine.state.metric_details = {}
    metric.attach(engine, "m")
    items = [
        {"pred": torch.tensor(f), "label": torch.tensor([int(label), -1])}
        for f, label in zip(features, labels, strict=True)
    ]
    return engine.run([items[:7], items[7:]]).metrics["m"], engine.state.metric_details["m"]


def test_metrics_gather_batches_and_publish_every_image():
    features, labels = data()
    value, details = evaluated(NeighbourAccuracy(k=3), features, labels)
    hits = neighbour_hits(features, labels, ALONE, 3)
    assert value == pytest.approx(hits.mean())
    np.testing.assert_array_equal(details[:, 0], hits)
    value, _ = evaluated(RetrievalPrecision(), features, labels)
    assert value == pytest.approx(ranking_precision(features, labels, ALONE).mean())
    with pytest.raises(ValueError, match="at least one neighbour votes, got k = 0"):
        NeighbourAccuracy(k=0)
