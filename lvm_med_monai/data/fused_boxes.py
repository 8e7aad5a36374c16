"""Boxes of several readers become one."""

from __future__ import annotations

import torch
from torchvision.ops import box_iou


def fuse_boxes(boxes: torch.Tensor, labels: torch.Tensor, overlap: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Weighted box fusion of boxes that all count the same.

    Boxes of a class are taken in their order: one joins the cluster of its class whose mean box it overlaps most, if by
    more than ``overlap``, or begins a cluster. A cluster becomes the mean of its boxes.

    Args:
        boxes: x1, y1, x2, y2, shape (N, 4).
        labels: classes, shape (N,).
        overlap: IoU, in [0, 1).

    Returns:
        Boxes (M, 4) and classes (M,), M <= N, by class and first box.

    Raises:
        ValueError: ``overlap`` is outside of [0, 1).

    References:
        Solovyev, Wang and Gabruseva, Weighted boxes fusion, Image and Vision Computing 2021, arXiv:1910.13302.

    Example:
        >>> fuse_boxes(torch.tensor([[0.0, 0, 4, 4], [2, 0, 6, 4], [20, 0, 24, 4]]), torch.tensor([1, 1, 1]), 0.2)[0]
        tensor([[ 1.,  0.,  5.,  4.],
                [20.,  0., 24.,  4.]])
    """
    if not 0 <= overlap < 1:
        raise ValueError(f"boxes are fused above an overlap in [0, 1), got {overlap}")
    fused, kinds = [], []
    for kind in labels.unique().tolist():
        clusters: list[list[torch.Tensor]] = []
        for box in boxes[labels == kind]:
            means = [torch.stack(cluster).mean(0) for cluster in clusters]
            shared = box_iou(box[None], torch.stack(means))[0] if means else torch.zeros(1)
            if shared.max() > overlap:
                clusters[int(shared.argmax())].append(box)
            else:
                clusters.append([box])
        fused += [torch.stack(cluster).mean(0) for cluster in clusters]
        kinds += [kind] * len(clusters)
    return torch.stack(fused) if fused else boxes[:0], torch.tensor(kinds, dtype=labels.dtype)
