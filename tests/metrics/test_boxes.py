"""Average precision beside pycocotools and torchmetrics, with the edges that data have."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch.nn.functional import pad
from torchmetrics.detection import MeanAveragePrecision

from lvm_med_monai.metrics import BoxAveragePrecision, bootstrap_intervals

CLASSES = ["one", "two", "three", "absent"]


def random_case(rng, truths, found):
    """True boxes of the first three classes, and boxes near them and elsewhere, with equal scores among them."""
    corner = rng.uniform(0, 80, (truths, 2))
    truth = np.concatenate([corner, corner + rng.uniform(5, 40, (truths, 2)), rng.integers(0, 3, (truths, 1))], 1)
    near = truth[rng.integers(0, truths, found), :4] + rng.normal(0, 3, (found, 4)) if truths else np.zeros((0, 4))
    corner = rng.uniform(0, 80, (found, 2))
    boxes = np.concatenate([near, np.concatenate([corner, corner + rng.uniform(5, 40, (found, 2))], 1)])
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
    kinds = np.concatenate([rng.integers(0, 3, len(near)), rng.integers(0, 4, found)])
    scores = rng.uniform(0, 1, len(boxes)).round(1)
    return np.concatenate([boxes, kinds[:, None], scores[:, None]], 1), truth


def cases(seed, images=10):
    rng = np.random.default_rng(seed)
    return [random_case(rng, int(rng.integers(0, 5)), int(rng.integers(0, 8))) for _ in range(images)]


def measured(data, classes=CLASSES, **options):
    """Numbers, details and statistic of the handler on an engine."""
    metric = BoxAveragePrecision(classes, output_transform=lambda output: output, **options)
    engine = Engine(lambda _, batch: batch)
    metric.attach(engine, "map")
    rows = max([len(found) for found, _ in data] + [1])
    for_engine = [
        ([pad(torch.from_numpy(found), [0, 0, 0, rows - len(found)], value=-1)], [torch.from_numpy(truth)])
        for found, truth in data
    ]
    engine.run(for_engine)
    return engine.state


def coco_of(tables, scored):
    coco = COCO()
    annotations = []
    for image, table in enumerate(tables):
        for row in table:
            box = [row[0], row[1], row[2] - row[0], row[3] - row[1]]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": int(row[4]) + 1,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                    "score": row[5] if scored else 1,
                }
            )
    coco.dataset = {
        "images": [{"id": image} for image in range(len(tables))],
        "annotations": annotations,
        "categories": [{"id": kind + 1} for kind in range(len(CLASSES))],
    }
    coco.createIndex()
    return coco


def coco_precision(data, thresholds=None):
    """Average precision of each class by COCOeval on the whole set, -1 where a class has no true box."""
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(coco_of([t for _, t in data], False), coco_of([f for f, _ in data], True), "bbox")
        if thresholds is not None:
            evaluation.params.iouThrs = np.array(thresholds)
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["precision"][:, :, :, 0, 2].mean((0, 1))


@pytest.mark.parametrize("thresholds", [None, (0.5,)], ids=["mAP", "mAP50"])
@pytest.mark.parametrize("seed", range(6))
def test_agrees_with_pycocotools_on_random_boxes(seed, thresholds):
    data = cases(seed)
    state = measured(data, **({} if thresholds is None else {"thresholds": thresholds}))
    expected = coco_precision(data, thresholds)
    assert expected[3] == -1
    assert np.isnan(state.metrics["map_absent"])
    ours = [state.metrics[f"map_{name}"] for name in CLASSES[:3]]
    np.testing.assert_allclose(ours, expected[:3], atol=1e-6)
    assert state.metrics["map"] == pytest.approx(expected[expected > -1].mean(), abs=1e-6)
    assert state.metrics["map"] > 0


def test_agrees_with_torchmetrics():
    data = cases(7)
    # its own thresholds are float32: a recall of exactly 0.3 lies below its 0.3, but not below COCO's
    thresholds = {
        "iou_thresholds": np.linspace(0.5, 0.95, 10).tolist(),
        "rec_thresholds": np.linspace(0, 1, 101).tolist(),
    }
    reference = MeanAveragePrecision(**thresholds, backend="pycocotools")
    for found, truth in data:
        found, truth = torch.from_numpy(found), torch.from_numpy(truth)
        reference.update(
            [{"boxes": found[:, :4], "labels": found[:, 4].long(), "scores": found[:, 5]}],
            [{"boxes": truth[:, :4], "labels": truth[:, 4].long()}],
        )
    expected = reference.compute()
    assert measured(data).metrics["map"] == pytest.approx(float(expected["map"]), abs=1e-6)
    assert measured(data, thresholds=(0.5,)).metrics["map"] == pytest.approx(float(expected["map_50"]), abs=1e-6)


NO_BOXES, NO_TRUTH = np.zeros((0, 6)), np.zeros((0, 5))
TRUTH = np.array([[10.0, 10, 20, 20, 0], [50, 50, 70, 60, 1]])
FOUND = np.concatenate([TRUTH, [[0.9], [0.8]]], 1)
EDGES = {
    "perfect": ([(FOUND, TRUTH)], 1.0),
    "nothing found": ([(NO_BOXES, TRUTH)], 0.0),
    "nothing to find and nothing found": ([(NO_BOXES, NO_TRUTH)], np.nan),
    "nothing to find, something found": ([(FOUND, NO_TRUTH)], np.nan),
    "one of two classes found": ([(FOUND[:1], TRUTH)], 0.5),
    "a class of no truth does not count": ([(np.concatenate([FOUND, [[0, 0, 9, 9, 2, 1.0]]]), TRUTH)], 1.0),
    "a false alarm in an empty image, below": ([(FOUND, TRUTH), (FOUND * [1, 1, 1, 1, 1, 0.5], NO_TRUTH)], 1.0),
    "a false alarm in an empty image, above": (
        [(FOUND, TRUTH), (FOUND + np.array([0, 0, 0, 0, 0, 0.1]), NO_TRUTH)],
        0.5,
    ),
    "found twice": ([(np.concatenate([FOUND, FOUND - [0, 0, 0, 0, 0, 0.1]]), TRUTH)], 1.0),
    "the wrong class": ([(FOUND + np.array([0, 0, 0, 0, 1, 0]), TRUTH)], 0.0),
}


@pytest.mark.parametrize(("data", "expected"), EDGES.values(), ids=EDGES.keys())
def test_empty_rules(data, expected):
    state = measured(data, thresholds=(0.5,))
    np.testing.assert_allclose(state.metrics["map"], expected, atol=1e-12)
    if data[0][0] is not NO_BOXES and any(len(truth) for _, truth in data):
        counted = coco_precision(data, (0.5,))
        assert state.metrics["map"] == pytest.approx(counted[counted > -1].mean(), abs=1e-6)


def test_details_show_each_image_alone():
    details = measured([(FOUND, TRUTH), (FOUND[:1], TRUTH), (FOUND, NO_TRUTH)], thresholds=(0.5,)).metric_details["map"]
    np.testing.assert_array_equal(details, [[1, 1, np.nan, np.nan], [1, 0, np.nan, np.nan], [np.nan] * 4])


def test_resampled_images_are_measured_as_a_set_of_their_own():
    data = cases(3)
    statistic = measured(data).case_statistics["map"]
    chosen = np.array([1, 1, 4, 7, 9])
    whole = measured([data[index] for index in chosen]).metrics
    assert statistic.compute(chosen) == pytest.approx(whole, abs=1e-12, nan_ok=True)
    interval = bootstrap_intervals(statistic, samples=50)["map"]
    assert interval.low <= interval.value <= interval.high
    assert interval.low < interval.high


def test_one_class_has_no_number_of_its_own():
    state = measured([(FOUND[:1], TRUTH[:1])], classes=["polyp"])
    assert state.metrics == {"map": 1.0}


@pytest.mark.parametrize("kind", ["true", "found"])
def test_a_label_beyond_the_classes_is_refused(kind):
    truth, found = np.array([[0.0, 0, 9, 9, 0]]), np.array([[0.0, 0, 9, 9, 0, 0.5]])
    (truth if kind == "true" else found)[0, 4] = 4
    with pytest.raises(
        ValueError, match=rf"a {kind} box has label 4, but there are 4 classes, 0 to 3 \(one, two, three"
    ):
        measured([(found, truth)])
