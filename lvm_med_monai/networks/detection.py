"""Faster R-CNN on a ResNet backbone, with one tensor in and one tensor out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.utils import convert_to_tensor
from torch import nn
from torch.nn.functional import pad
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FasterRCNN, FastRCNNPredictor, TwoMLPHead
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from lvm_med_monai.networks.resnet import ResNetEncoder

LOSSES = ("loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg")
"""What a training step of `BoxDetector` gives, in this order; torchvision's names."""
_STAGES = (("conv1", "bn1"), ("layer1",), ("layer2",), ("layer3",), ("layer4",))
_LEVELS = ("0", "1", "2", "3")


class PyramidBackbone(nn.Module):
    """Feature pyramid on a ResNet: maps of strides 4, 8, 16, 32 and 64 with equal channels.

    Args:
        encoder: gives five maps of strides 2 to 32 by ``features`` and knows their ``channels``.
        out_channels: channels of every map of the pyramid.
    """

    def __init__(self, encoder: ResNetEncoder, out_channels: int) -> None:
        super().__init__()
        self.body = encoder
        self.fpn = FeaturePyramidNetwork(encoder.channels[1:], out_channels, LastLevelMaxPool())
        self.out_channels = out_channels

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Pyramid of images (B, 3, H, W), under ``0`` to ``3`` and ``pool``."""
        maps = self.body.features(x).maps
        return self.fpn({"0": maps[1], "1": maps[2], "2": maps[3], "3": maps[4]})


class BoxDetector(nn.Module):
    """torchvision's Faster R-CNN on the backbone of pretraining: boxes of findings in images of any size.

    Images are (B, 3, H, W) in [0, 1], rows first; x runs along the last axis, to the right, and y down; a box spans
    continuous coordinates, so that one which covers an image is (0, 0, W, H). ImageNet statistics are taken inside.

    When it evaluates, an image is resized inside, with its aspect kept, and boxes come back in the pixels of the input.
    When it trains, images are taken as they are, and the result is the losses.

    Args:
        classes: number of classes; labels are 0 to ``classes - 1``.
        depth: depth of the ResNet.
        width: width of the ResNet's first stage.
        short_side: pixels to which an image's short side is resized for evaluation...
        long_side: ...unless the long side would exceed this.
        anchor_sizes: side of the anchors of each of the five maps, in pixels of the resized image.
        aspect_ratios: height by width of the anchors.
        fpn_channels: channels of the pyramid.
        head_features: features of a region.
        proposals: regions that an image has after the first stage; in training twice as many are looked at before
            overlapping ones are dropped.
        proposal_overlap: of two of these regions whose IoU is larger, the one with the lower score is dropped.
        regions: regions of an image that train the second stage.
        max_boxes: boxes an image has at most, the best by score.
        score_threshold: boxes with a lower score are dropped.
        overlap_threshold: of two boxes of a class whose IoU is larger, the one with the lower score is dropped.
        frozen_stages: last stage of the ResNet that does not learn: -1 for none, 0 for the stem, 1 to 4.
        norm_eval: keep the running statistics of the ResNet's batch norms; right for pretrained weights alone.

    Raises:
        ValueError: no class, or not five anchor sizes.

    Example:
        >>> detector = BoxDetector(2, depth=18, width=8, short_side=64, long_side=64, fpn_channels=16, head_features=16)
        >>> detector.eval()(torch.zeros(1, 3, 48, 80)).shape
        torch.Size([1, 100, 6])
    """

    __jit_unused_properties__ = ("encoder",)

    def __init__(
        self,
        classes: int,
        depth: int = 50,
        width: int = 64,
        short_side: int = 512,
        long_side: int = 512,
        anchor_sizes: Sequence[int] = (32, 64, 128, 256, 512),
        aspect_ratios: Sequence[float] = (0.5, 1.0, 2.0),
        fpn_channels: int = 256,
        head_features: int = 1024,
        proposals: int = 1000,
        proposal_overlap: float = 0.7,
        regions: int = 512,
        max_boxes: int = 100,
        score_threshold: float = 0.05,
        overlap_threshold: float = 0.5,
        frozen_stages: int = -1,
        norm_eval: bool = False,
    ) -> None:
        super().__init__()
        if classes < 1:
            raise ValueError(f"a detector needs at least one class, got {classes}")
        if len(anchor_sizes) != len(_LEVELS) + 1:
            raise ValueError(f"the pyramid has {len(_LEVELS) + 1} maps, got {len(anchor_sizes)} anchor sizes")
        self.max_boxes = max_boxes
        self.norm_eval = norm_eval
        encoder = ResNetEncoder(depth, width)
        pool = MultiScaleRoIAlign(_LEVELS, output_size=7, sampling_ratio=2)
        self.detector = FasterRCNN(
            PyramidBackbone(encoder, fpn_channels),
            min_size=short_side,
            max_size=long_side,
            rpn_anchor_generator=AnchorGenerator(
                tuple((size,) for size in anchor_sizes), (tuple(aspect_ratios),) * len(anchor_sizes)
            ),
            box_roi_pool=pool,
            box_head=TwoMLPHead(fpn_channels * 7**2, head_features),
            box_predictor=FastRCNNPredictor(head_features, classes + 1),
            rpn_pre_nms_top_n_train=2 * proposals,
            rpn_pre_nms_top_n_test=proposals,
            rpn_post_nms_top_n_train=proposals,
            rpn_post_nms_top_n_test=proposals,
            rpn_nms_thresh=proposal_overlap,
            box_batch_size_per_image=regions,
            box_score_thresh=score_threshold,
            box_nms_thresh=overlap_threshold,
            box_detections_per_img=max_boxes,
            _skip_resize=True,
        )
        for stage in _STAGES[: frozen_stages + 1]:
            for name in stage:
                getattr(encoder, name).requires_grad_(False)

    @property
    def encoder(self) -> ResNetEncoder:
        """The ResNet, for ``load_backbone``."""
        return self.detector.backbone.body

    def train(self, mode: bool = True) -> BoxDetector:
        """Switch between training and evaluation, but for statistics that are kept."""
        super().train(mode)
        if self.norm_eval:
            for module in self.encoder.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self

    def forward(self, image: torch.Tensor, target: torch.Tensor | None = None) -> torch.Tensor:
        """Find boxes, or the losses of boxes that are known.

        Args:
            image: (B, 3, H, W) in [0, 1].
            target: when training: x1, y1, x2, y2 and label of the known boxes, shape (B, T, 5); rows of -1 are padding.

        Returns:
            When evaluating: x1, y1, x2, y2, label and score of the boxes found, best first, shape (B, max_boxes, 6),
            rows of -1 where there are fewer. When training: the four losses of `LOSSES`, shape (4,).
        """
        if not torch.jit.is_scripting():
            image = convert_to_tensor(image, track_meta=False)
        images = [one for one in image]  # noqa: C416 -- TorchScript knows no list() of a tensor
        targets = None if target is None else _as_torchvision(target)
        if torch.jit.is_scripting():
            losses, detections = self.detector(images, targets)
        elif self.training:
            losses, detections = self.detector(images, targets), []
        else:
            losses, detections = {}, self.detector(images)
        if self.training:
            return torch.stack(
                [
                    losses["loss_classifier"],
                    losses["loss_box_reg"],
                    losses["loss_objectness"],
                    losses["loss_rpn_box_reg"],
                ]
            )
        return torch.stack([_padded(detection, self.max_boxes) for detection in detections])


def _as_torchvision(target: torch.Tensor) -> list[dict[str, torch.Tensor]]:
    """Boxes and labels of each image without padding; torchvision's label 0 is the background."""
    known: list[dict[str, torch.Tensor]] = []
    for rows in target:
        rows = rows[rows[:, 4] >= 0]
        known.append({"boxes": rows[:, :4], "labels": rows[:, 4].to(torch.int64) + 1})
    return known


def _padded(detection: dict[str, torch.Tensor], rows: int) -> torch.Tensor:
    """One image's boxes, classes and scores as a table of a fixed number of rows."""
    boxes, scores = detection["boxes"], detection["scores"]
    labels = (detection["labels"] - 1).to(boxes.dtype)
    found = torch.cat([boxes, labels[:, None], scores[:, None].to(boxes.dtype)], dim=1)
    return pad(found, [0, 0, 0, rows - found.shape[0]], value=-1.0)


class DetectorForLabel(nn.Module):
    """A detector as MONAI Label calls it: ``detector(images, use_inferer=True)``, with a ``network`` that it replaces.

    Args:
        network: a `BoxDetector`.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor, use_inferer: bool = True) -> list[dict[str, torch.Tensor]]:
        """Of each image: ``pred`` as the network gives it, and without padding ``box``, ``label`` and ``score``."""
        found = []
        for rows in self.network(images):
            kept = rows[rows[:, 5] >= 0]
            found.append({"pred": rows, "box": kept[:, :4], "label": kept[:, 4].to(torch.int64), "score": kept[:, 5]})
        return found
