from __future__ import annotations

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from sklearn import metrics as reference
from torchmetrics.functional import classification as torchmetrics

from lvm_med_monai.metrics import (
    Accuracy,
    AreaUnderROC,
    AveragePrecision,
    QuadraticKappa,
    auroc,
    average_precision,
    quadratic_kappa,
)

MEASURES = {
    "auroc": (auroc, reference.roc_auc_score, torchmetrics.binary_auroc),
    "average precision": (
        average_precision,
        reference.average_precision_score,
        torchmetrics.binary_average_precision,
    ),
}


def binary(kind, rng):
    """Scores and truth of one class."""
    count = int(rng.integers(2, 80))
    truth = rng.integers(0, 2, count)
    truth[:2] = [0, 1]
    scores = rng.random(count, dtype=np.float32)
    if kind == "ties":
        scores = scores.round(1)
    if kind == "all equal":
        scores[:] = 0.5
    if kind == "perfect":
        scores = truth * 0.5 + scores * 0.4
    return scores.astype(np.float32), truth


@pytest.mark.parametrize("kind", ["random", "ties", "all equal", "perfect"])
@pytest.mark.parametrize(("own", "sklearn", "lightning"), MEASURES.values(), ids=MEASURES)
def test_measures_of_one_class_equal_scikit_learn_and_torchmetrics(own, sklearn, lightning, kind):
    rng = np.random.default_rng(0)
    for _ in range(50):
        scores, truth = binary(kind, rng)
        value = own(scores, truth)
        assert value == pytest.approx(sklearn(truth, scores), abs=1e-6)
        assert value == pytest.approx(float(lightning(torch.tensor(scores), torch.tensor(truth))), abs=1e-6)


@pytest.mark.parametrize("own", [auroc, average_precision])
def test_unknown_labels_are_left_out(own):
    scores, truth = binary("ties", np.random.default_rng(1))
    more = np.append(scores, [0.1, 0.9]), np.append(truth, [-1, -1])
    assert own(*more) == own(scores, truth)


@pytest.mark.parametrize(
    ("own", "truth", "expected"),
    [
        (auroc, [1, 1], np.nan),
        (auroc, [0, 0], np.nan),
        (auroc, [-1, -1], np.nan),
        (auroc, [], np.nan),
        (average_precision, [0, 0], np.nan),
        (average_precision, [1, 1], 1.0),
        (average_precision, [-1, -1], np.nan),
        (average_precision, [], np.nan),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_measures_without_positives_or_negatives(own, truth, expected):
    scores = np.linspace(0, 1, len(truth))
    np.testing.assert_equal(own(scores, np.array(truth)), expected)


@pytest.mark.parametrize("grades", [2, 5])
def test_quadratic_kappa_equals_scikit_learn_and_torchmetrics(grades):
    rng = np.random.default_rng(2)
    for _ in range(50):
        count = int(rng.integers(2, 60))
        truth = rng.integers(0, grades, count)
        predicted = np.where(rng.random(count) < 0.5, truth, rng.integers(0, grades, count))
        if len(set(truth) | set(predicted)) < 2:
            continue
        value = quadratic_kappa(predicted, truth)
        # without the list of grades, scikit-learn moves those above a missing grade closer
        grading = {"labels": range(grades), "weights": "quadratic"}
        assert value == pytest.approx(reference.cohen_kappa_score(predicted, truth, **grading), abs=1e-6)
        tensors = torch.tensor(predicted), torch.tensor(truth)
        other = torchmetrics.multiclass_cohen_kappa(*tensors, num_classes=grades, weights="quadratic")
        assert value == pytest.approx(float(other), abs=1e-6)


@pytest.mark.parametrize(
    ("predicted", "truth", "expected"),
    [
        ([], [], np.nan),
        ([1, 1], [1, 1], np.nan),
        ([0, 0], [1, 1], 0.0),
        ([0, 1], [1, 0], -1.0),
        ([2, 2], [-1, -1], np.nan),
    ],
    ids=["no case", "one grade", "always wrong", "reversed", "nothing known"],
)
def test_quadratic_kappa_at_its_edges(predicted, truth, expected):
    np.testing.assert_equal(quadratic_kappa(np.array(predicted), np.array(truth)), expected)


def evaluate(metric, scores, labels, batch=7):
    """Metrics, details and statistics of an engine that hands out cases as a decollating evaluator does."""

    def step(engine, start):
        part = slice(start, start + batch)
        return [{"pred": torch.tensor(p), "label": y} for p, y in zip(scores[part], labels[part], strict=True)]

    engine = Engine(step)
    metric.attach(engine, "m")
    engine.run(range(0, max(len(scores), 1), batch))
    return engine.state


def cases(classes, rng, count=60):
    """Probabilities (N, C) and labels that they fit a little."""
    labels = rng.integers(0, classes, count)
    labels[:classes] = np.arange(classes)
    logits = rng.normal(size=(count, classes)) + np.eye(classes)[labels]
    scores = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return scores.astype(np.float32), labels


@pytest.mark.parametrize("as_number", [int, torch.tensor, lambda label: torch.tensor([label])])
def test_metrics_of_several_classes_equal_scikit_learn(as_number):
    scores, labels = cases(4, np.random.default_rng(3))
    given = [as_number(int(label)) for label in labels]
    truth = labels[:, None] == np.arange(4)
    names = ["m_a", "m_b_c", "m_d", "m_e"]
    for metric, measure in [
        (AreaUnderROC, reference.roc_auc_score),
        (AveragePrecision, reference.average_precision_score),
    ]:
        state = evaluate(metric(classes=["A", "b c", "d", "e"]), scores, given)
        wanted = [measure(truth[:, index], scores[:, index]) for index in range(4)]
        assert [state.metrics[name] for name in names] == pytest.approx(wanted, abs=1e-6)
        assert state.metrics["m"] == pytest.approx(np.mean(wanted), abs=1e-6)
        np.testing.assert_array_equal(state.metric_details["m"], scores)
    state = evaluate(Accuracy(), scores, given)
    assert state.metrics == pytest.approx({"m": reference.accuracy_score(labels, scores.argmax(1))})
    np.testing.assert_array_equal(state.metric_details["m"][:, 0], labels == scores.argmax(1))
    kappa = reference.cohen_kappa_score(scores.argmax(1), labels, weights="quadratic")
    assert evaluate(QuadraticKappa(), scores, given).metrics == pytest.approx({"m": kappa}, abs=1e-6)


def test_metrics_of_several_labels_equal_torchmetrics_with_unknown_ones_left_out():
    rng = np.random.default_rng(4)
    scores, labels = rng.random((80, 5), dtype=np.float32), rng.integers(-1, 2, (80, 5))
    scores, truth = torch.tensor(scores), torch.tensor(labels)
    options = {"num_labels": 5, "average": None, "ignore_index": -1}
    for metric, measure in [
        (AreaUnderROC, torchmetrics.multilabel_auroc),
        (AveragePrecision, torchmetrics.multilabel_average_precision),
        (Accuracy, torchmetrics.multilabel_accuracy),
    ]:
        state = evaluate(metric(classes=list("abcde"), multi_label=True), scores.numpy(), list(truth))
        wanted = measure(scores, truth, **options)
        found = [state.metrics[f"m_{name}"] for name in "abcde"]
        assert found == pytest.approx(wanted.tolist(), abs=1e-6)
        if metric is not Accuracy:
            assert state.metrics["m"] == pytest.approx(float(wanted.mean()), abs=1e-6)


def test_absent_classes_are_nan_and_left_out_of_the_mean():
    scores, labels = cases(3, np.random.default_rng(5))
    labels = np.where(labels == 2, 0, labels)
    state = evaluate(AreaUnderROC(), scores, list(labels))
    assert np.isnan(state.metrics["m_class2"])
    assert state.metrics["m"] == pytest.approx((state.metrics["m_class0"] + state.metrics["m_class1"]) / 2)
    alone = evaluate(AreaUnderROC(), scores, [0] * len(scores))
    assert np.isnan(alone.metrics["m"])
    assert np.isnan(evaluate(Accuracy(), scores, [-1] * len(scores)).metrics["m"])


def test_a_second_run_forgets_the_first():
    scores, labels = cases(2, np.random.default_rng(6), count=10)
    metric, engine = Accuracy(), Engine(lambda engine, item: [item])
    metric.attach(engine, "m")
    items = [{"pred": torch.tensor(p), "label": int(y)} for p, y in zip(scores, labels, strict=True)]
    engine.run(items)
    engine.run(items[:1])
    assert engine.state.metrics["m"] == float(scores[0].argmax() == labels[0])
    assert len(engine.state.metric_details["m"]) == 1


WRONG = {
    "logits": (Accuracy(), [2.0, -1.0], 0, "probabilities in"),
    "not a number": (Accuracy(), [np.nan, 1.0], 0, "check for NaN"),
    "label beyond the classes": (Accuracy(), [0.5, 0.5], 2, "a label from 0 to 1, or -1"),
    "one-hot label": (Accuracy(), [0.5, 0.5], [0, 1], "a label from 0 to 1, or -1"),
    "label between classes": (Accuracy(), [0.5, 0.5], 0.5, "a label from 0 to 1, or -1"),
    "one label for several": (Accuracy(multi_label=True), [0.5, 0.5], 1, "need 2 labels of 0, 1 or -1"),
    "several labels of 2": (Accuracy(multi_label=True), [0.5, 0.5], [2, 1], "need 2 labels of 0, 1 or -1"),
    "other class names": (Accuracy(["a", "b", "c"]), [0.5, 0.5], 0, "3 class names are given for 2 classes: a, b, c"),
}


@pytest.mark.parametrize(("metric", "scores", "label", "message"), WRONG.values(), ids=WRONG)
def test_wrong_predictions_and_labels_are_refused(metric, scores, label, message):
    with pytest.raises(ValueError, match=message):
        evaluate(metric, np.array([scores], np.float32), [torch.tensor(label)])
