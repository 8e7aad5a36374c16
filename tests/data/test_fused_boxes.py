"""Fusion of readers' boxes, beside a brute-force reading of the rule."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lvm_med_monai.data import fuse_boxes


def iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def reference(boxes, labels, overlap):
    fused = []
    for kind in sorted(set(labels)):
        clusters = []
        for box in [b for b, label in zip(boxes, labels, strict=True) if label == kind]:
            shares = [iou(np.mean(cluster, 0), box) for cluster in clusters]
            if shares and max(shares) > overlap:
                clusters[int(np.argmax(shares))].append(box)
            else:
                clusters.append([box])
        fused += [(*np.mean(cluster, 0), kind) for cluster in clusters]
    return np.array(fused).reshape(-1, 5)


@pytest.mark.parametrize("seed", range(5))
def test_random_boxes_fuse_by_the_rule(seed):
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 30, (20, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(5, 20, (20, 2))], 1)
    labels = rng.integers(0, 3, 20)
    fused, kinds = fuse_boxes(torch.from_numpy(boxes), torch.from_numpy(labels), 0.2)
    expected = reference(boxes, labels.tolist(), 0.2)
    assert len(fused) < 20
    np.testing.assert_allclose(fused, expected[:, :4])
    assert kinds.tolist() == expected[:, 4].tolist()


def test_no_boxes_stay_none_and_one_stays_itself():
    fused, kinds = fuse_boxes(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), 0.2)
    assert fused.shape == (0, 4)
    assert kinds.shape == (0,)
    one = torch.tensor([[1.0, 2, 3, 4]])
    assert torch.equal(fuse_boxes(one, torch.tensor([5]), 0.2)[0], one)


def test_boxes_that_only_touch_stay_apart():
    apart = torch.tensor([[0.0, 0, 4, 4], [4, 0, 8, 4]])
    assert torch.equal(fuse_boxes(apart, torch.tensor([0, 0]), 0.0)[0], apart)


def test_an_impossible_overlap_is_refused():
    with pytest.raises(ValueError, match=r"in \[0, 1\), got 1"):
        fuse_boxes(torch.zeros(0, 4), torch.zeros(0), 1)
