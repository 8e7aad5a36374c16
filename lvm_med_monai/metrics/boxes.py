"""COCO's average precision of boxes, over all cases and over any choice of them."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from lvm_med_monai.metrics.cases import CaseMetric, CaseStatistic, mean, named

COCO_THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).round(2).tolist())
"""IoU above which a box counts as found, for mAP: mean over all of them."""
_RECALLS = np.linspace(0, 1, 101)
"""Recall at which COCO reads the precision."""


class BoxAveragePrecision(CaseMetric):
    """Mean average precision of boxes by COCO's rules; the matching of boxes is pycocotools'.

    In each image and class, boxes are taken by falling score, and each is matched to the free true box that it overlaps
    most, if by the threshold at least. Average precision of a class is the mean, over 101 recalls, of the best
    precision at that recall or beyond, with the boxes of all images in one ranking (ties in the order of images). The
    metric is the mean over classes and thresholds. Every box must have x2 > x1 and y2 > y1.

    Empty rules, which are COCO's: a class that no image has in truth is left out, whatever was found of it; without any
    true box the metric is NaN; a class with true boxes of which none is found has 0; images without true boxes count by
    what is wrongly found in them.

    Details are, for each image and class, the average precision in that image alone, NaN where it has no such true box:
    to find bad cases, not to be averaged.

    Args:
        classes: names of the classes.
        thresholds: IoU thresholds; COCO's .50 to .95 by default, (0.5,) for mAP50.
        max_boxes: boxes of an image and class that count, the best by score.
        output_transform: as of `CaseMetric`: predictions (M, 6), x1, y1, x2, y2, label, score, and truths (T, 5),
            without the score; rows with a negative label are padding. M is the same for all images.
        save_details: whether to publish cases too.
    """

    def __init__(
        self,
        classes: Sequence[str],
        thresholds: Sequence[float] = COCO_THRESHOLDS,
        max_boxes: int = 100,
        output_transform: Callable[[Any], Any] | None = None,
        save_details: bool = True,
    ) -> None:
        self.thresholds = np.array(thresholds, dtype=np.float64)
        self.max_boxes = max_boxes
        self.kinds = len(classes)
        super().__init__(classes, output_transform, save_details)

    def row(self, pred: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """What the metric needs of an image: true boxes of each class, then class, score and hits of each box found.

        Raises:
            ValueError: a box has a label beyond the classes.
        """
        truth, found = label.double().cpu().numpy(), pred.double().cpu().numpy()
        self._check_labels(truth, "true")
        self._check_labels(found, "found")
        truth, kept = truth[truth[:, 4] >= 0], found[found[:, 4] >= 0]
        matched = matched_boxes(kept, truth, self.thresholds, self.max_boxes)
        table = np.full((len(found), 2 + len(self.thresholds)), -1.0)
        table[: len(matched)] = matched
        counts = np.bincount(truth[:, 4].astype(int), minlength=self.kinds)
        return torch.from_numpy(np.concatenate([counts, table.ravel()]))

    def statistic(self, name: str, rows: np.ndarray) -> CaseStatistic:
        """Average precision of any choice of cases."""
        counts, matched = self._split(rows)

        def compute(cases: np.ndarray) -> dict[str, float]:
            values = self._by_class(counts[cases], matched[cases])
            return named(name, float(mean(values)), self.classes or [], values)

        return CaseStatistic(len(rows), compute)

    def details(self, rows: torch.Tensor) -> torch.Tensor:
        """Average precision of each class in each image alone, (N, classes)."""
        counts, matched = self._split(rows.numpy())
        alone = [self._by_class(counts[[case]], matched[[case]]) for case in range(len(rows))]
        return torch.from_numpy(np.stack(alone))

    def _check_labels(self, boxes: np.ndarray, kind: str) -> None:
        highest = boxes[:, 4].max(initial=-1)
        if highest >= self.kinds:
            raise ValueError(
                f"a {kind} box has label {highest:g}, but there are {self.kinds} classes, 0 to {self.kinds - 1} "
                f"({', '.join(self.classes or [])}): correct the datalist, class_names or the network"
            )

    def _split(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """True boxes (N, classes), and matches (N, boxes, 2 + thresholds)."""
        return rows[:, : self.kinds], rows[:, self.kinds :].reshape(len(rows), -1, 2 + len(self.thresholds))

    def _by_class(self, counts: np.ndarray, matched: np.ndarray) -> np.ndarray:
        """Average precision of each class, NaN without true boxes; mean over thresholds."""
        boxes = matched.reshape(-1, matched.shape[-1])
        values = np.full(self.kinds, np.nan)
        for kind in np.flatnonzero(counts.sum(0)):
            own = boxes[boxes[:, 0] == kind]
            values[kind] = average_precision_of_matches(own[:, 1], own[:, 2:], int(counts[:, kind].sum()))
        return values


def matched_boxes(found: np.ndarray, truth: np.ndarray, thresholds: np.ndarray, max_boxes: int = 100) -> np.ndarray:
    """Which boxes of one image hit a true box, by pycocotools.

    Args:
        found: (M, 6): x1, y1, x2, y2, label, score.
        truth: (T, 5).
        thresholds: IoU thresholds (K,).
        max_boxes: the best boxes of each class that count.

    Returns:
        Label, score and K times 1 for a hit or 0, for each box that counts: shape (<= M, 2 + K).
    """
    if len(found) == 0:
        return np.zeros((0, 2 + len(thresholds)))
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports its steps
        evaluation = COCOeval(_as_coco(truth), _as_coco(found), "bbox")
        evaluation.params.imgIds = [0]
        evaluation.params.catIds = sorted({*found[:, 4].astype(int), *truth[:, 4].astype(int)})
        evaluation.params.iouThrs = thresholds
        evaluation.params.areaRng = [[0, 1e10]]
        evaluation.params.maxDets = [max_boxes]
        evaluation.evaluate()
    rows = [np.zeros((0, 2 + len(thresholds)))]
    for result in evaluation.evalImgs:
        if result is not None and result["dtScores"]:
            scores = np.array(result["dtScores"])[:, None]
            hits = (np.asarray(result["dtMatches"]) > 0).T
            rows.append(np.concatenate([np.full_like(scores, result["category_id"]), scores, hits], axis=1))
    return np.concatenate(rows)


def average_precision_of_matches(scores: np.ndarray, hits: np.ndarray, truths: int) -> float:
    """Average precision of one class, mean over thresholds.

    Args:
        scores: of the boxes (M,); ties stay in order.
        hits: (M, K), 1 where a box hits a true one at threshold k.
        truths: number of true boxes, at least 1.
    """
    ranked = hits[np.argsort(-scores, kind="mergesort")]
    true = np.cumsum(ranked, axis=0)
    precision = true / np.arange(1, len(ranked) + 1)[:, None]
    best_beyond = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    recall = true / truths
    total = 0.0
    for threshold in range(hits.shape[1]):
        place = np.searchsorted(recall[:, threshold], _RECALLS, side="left")
        reached = place < len(ranked)
        total += best_beyond[place[reached], threshold].sum() / len(_RECALLS)
    return total / hits.shape[1]


def _as_coco(rows: np.ndarray) -> COCO:
    """Boxes of one image in COCO's form."""
    coco = COCO()
    annotations = [
        {
            "id": index + 1,
            "image_id": 0,
            "category_id": int(row[4]),
            "bbox": [row[0], row[1], row[2] - row[0], row[3] - row[1]],
            "area": (row[2] - row[0]) * (row[3] - row[1]),
            "iscrowd": 0,
            "score": float(row[5]) if len(row) > 5 else 1.0,
        }
        for index, row in enumerate(rows)
    ]
    kinds = sorted({annotation["category_id"] for annotation in annotations})
    coco.dataset = {
        "images": [{"id": 0}],
        "annotations": annotations,
        "categories": [{"id": kind} for kind in kinds],
    }
    coco.createIndex()
    return coco
