from __future__ import annotations

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.data import MetaTensor
from monai.handlers import MeanDice, MeanIoUHandler, from_engine
from sklearn.metrics import f1_score, jaccard_score

from lvm_med_monai.metrics import DiceScore, IoUScore

CLASSES = ["Liver", "left atrium", "aorta"]
REFERENCES = {"dice": (DiceScore, f1_score), "iou": (IoUScore, jaccard_score)}


def evaluate(metric, preds, labels):
    engine = Engine(lambda engine, item: [item])
    metric.attach(engine, "m")
    engine.run([{"pred": pred, "label": label} for pred, label in zip(preds, labels, strict=True)])
    return engine.state


def one_hot(labels):
    return torch.stack([labels[0] == index for index in range(len(CLASSES) + 1)]).float()


def random_masks(rng, count=6, shape=(7, 5, 4)):
    """Label maps (1, W, H, D) of which some lack classes, in truth, prediction or both."""
    truths, preds = (torch.tensor(rng.integers(0, 4, (count, 1, *shape))) for _ in range(2))
    truths[0][truths[0] == 2] = 0
    preds[0][preds[0] == 2] = 0
    truths[1][truths[1] == 1] = 0
    preds[2][preds[2] == 3] = 0
    truths[3][:] = 0
    preds[3][:] = 0
    truths[..., 0][truths[..., 0] == 3] = 0
    return preds, truths


def expected(measure, pred, truth, ignore_empty):
    """Overlap of one class by scikit-learn, with the rule for empty masks."""
    if not truth.any():
        return np.nan if ignore_empty else float(not pred.any())
    return measure(truth.numpy().ravel(), pred.numpy().ravel())


@pytest.mark.parametrize("layout", ["maps", "one-hot", "one-hot MetaTensor"])
@pytest.mark.parametrize("ignore_empty", [False, True])
@pytest.mark.parametrize("per", ["volume", "slice"])
@pytest.mark.parametrize(("metric", "measure"), REFERENCES.values(), ids=REFERENCES)
def test_overlap_equals_scikit_learn(metric, measure, per, ignore_empty, layout):
    preds, truths = random_masks(np.random.default_rng(0))
    table = np.full((len(preds), len(CLASSES)), np.nan)
    for case, (pred, truth) in enumerate(zip(preds, truths, strict=True)):
        for index in range(len(CLASSES)):
            parts = [(pred, truth)] if per == "volume" else list(zip(pred.unbind(-1), truth.unbind(-1), strict=True))
            values = [expected(measure, p == index + 1, t == index + 1, ignore_empty) for p, t in parts]
            if np.isfinite(values).any():
                table[case, index] = np.nanmean(values)
    if layout != "maps":
        preds, truths = [one_hot(pred) for pred in preds], [one_hot(truth) for truth in truths]
    if layout == "one-hot MetaTensor":
        preds, truths = [MetaTensor(pred) for pred in preds], [MetaTensor(truth) for truth in truths]
    state = evaluate(metric(CLASSES, per=per, ignore_empty=ignore_empty), preds, truths)
    np.testing.assert_allclose(state.metric_details["m"], table, atol=1e-6)
    means = np.array([np.nanmean(table[:, index]) for index in range(3)])
    names = ["m_liver", "m_left_atrium", "m_aorta"]
    np.testing.assert_allclose([state.metrics[name] for name in names], means, atol=1e-6)
    of_cases = [np.nanmean(row) for row in table if np.isfinite(row).any()]
    assert state.metrics["m"] == pytest.approx(np.mean(of_cases), abs=1e-6)


def test_a_picture_is_a_volume_of_one_slice():
    preds, truths = random_masks(np.random.default_rng(1), shape=(9, 8, 1))
    found = [
        evaluate(DiceScore(CLASSES, per=per), p, t).metrics
        for per in ("volume", "slice")
        for p, t in [(preds, truths), (preds[..., 0], truths[..., 0])]
    ]
    assert all(other == found[0] for other in found)


@pytest.mark.parametrize(
    ("pred", "truth", "ignore_empty", "value"),
    [
        ([0, 0], [0, 0], False, 1.0),
        ([0, 1], [0, 0], False, 0.0),
        ([0, 0], [0, 1], False, 0.0),
        ([0, 0], [0, 0], True, np.nan),
        ([0, 1], [0, 0], True, np.nan),
        ([0, 0], [0, 1], True, 0.0),
    ],
    ids=["both", "truth", "prediction", "both, ignored", "truth, ignored", "prediction, ignored"],
)
@pytest.mark.parametrize("metric", [DiceScore, IoUScore])
def test_empty_masks(metric, pred, truth, ignore_empty, value):
    masks = [[torch.tensor(mask).reshape(1, 2, 1)] for mask in (pred, truth)]
    np.testing.assert_equal(evaluate(metric(["a"], ignore_empty=ignore_empty), *masks).metrics, {"m": value})


def test_only_some_classes_count():
    preds, truths = random_masks(np.random.default_rng(2))
    whole = evaluate(IoUScore(CLASSES), preds, truths)
    part = evaluate(IoUScore(CLASSES, only=["left atrium"]), preds, truths)
    assert part.metrics == {"m": whole.metrics["m_left_atrium"]}
    assert part.metric_details["m"].shape == (6, 1)


@pytest.mark.parametrize(("metric", "handler"), [(DiceScore, MeanDice), (IoUScore, MeanIoUHandler)])
def test_means_are_monais_where_every_truth_shows_every_class(metric, handler):
    rng = np.random.default_rng(3)
    preds, truths = ([one_hot(torch.tensor(rng.integers(0, 4, (1, 9, 8, 3)))) for _ in range(5)] for _ in range(2))
    own = evaluate(metric(CLASSES), preds, truths)
    other = evaluate(handler(include_background=False, output_transform=from_engine(["pred", "label"])), preds, truths)
    np.testing.assert_allclose(own.metric_details["m"], other.metric_details["m"], atol=1e-6)
    assert own.metrics["m"] == pytest.approx(other.metrics["m"], abs=1e-6)


def test_a_class_that_no_case_shows_is_not_a_number_unlike_monais():
    preds, truths = random_masks(np.random.default_rng(4))
    truths[truths == 3] = 0
    own = evaluate(DiceScore(CLASSES, ignore_empty=True), preds, truths)
    assert np.isnan(own.metrics["m_aorta"])
    of_monai = MeanDice(
        include_background=False, reduction="mean_batch", output_transform=from_engine(["pred", "label"])
    )
    masks = [one_hot(pred) for pred in preds], [one_hot(truth) for truth in truths]
    assert float(evaluate(of_monai, *masks).metrics["m"][2]) == 0


def test_large_volumes_are_counted_exactly():
    truth = torch.ones(1, 400, 400, 120, dtype=torch.uint8)
    pred = truth.clone()
    pred[0, :, :, 0] = 0
    metrics = evaluate(DiceScore(["a"]), [pred], [truth]).metrics
    assert metrics["m"] == pytest.approx(2 * 119 / (119 + 120), abs=1e-6)


WRONG = {
    "different grids": (torch.zeros(1, 4, 4), torch.zeros(1, 4, 5), r"prediction \(4, 4\) and truth \(4, 5\)"),
    "too many channels": (torch.zeros(6, 4, 4), torch.zeros(6, 4, 4), "6 channels, but background and 3 classes"),
    "label outside": (torch.full((1, 4, 4), 9), torch.zeros(1, 4, 4), r"holds 9, expected labels, 0 to 3 \(backgr"),
    "probabilities": (torch.full((1, 4, 4), 0.7), torch.zeros(1, 4, 4), "holds 0.7, expected labels.* by AsDiscreted"),
    "negative": (torch.zeros(1, 4, 4), torch.full((1, 4, 4), -1), "a mask of one channel holds -1, expected labels"),
    "not a number": (torch.full((1, 4, 4), torch.nan), torch.zeros(1, 4, 4), "a mask of one channel holds nan"),
}


def test_masks_of_truth_values_are_labels():
    truth = torch.tensor([[[True, True, False]]])
    pred = torch.tensor([[[True, False, False]]])
    assert evaluate(DiceScore(["a"]), [pred], [truth]).metrics["m"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(("pred", "label", "message"), WRONG.values(), ids=WRONG)
def test_masks_that_do_not_fit_are_refused(pred, label, message):
    with pytest.raises(ValueError, match=message):
        evaluate(DiceScore(CLASSES), [pred], [label])


def test_unknown_options_are_refused():
    with pytest.raises(ValueError, match="no classes named heart: there are Liver, left atrium, aorta"):
        DiceScore(CLASSES, only=["heart"])
    with pytest.raises(ValueError, match="per 'volume' or per 'slice', got 'image'"):
        DiceScore(CLASSES, per="image")
