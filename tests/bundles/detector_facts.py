"""What a detection configuration trains with, found out from the detector that it makes."""

from __future__ import annotations

from typing import Any

import torch
from monai.bundle import ConfigParser

from lvm_med_monai.networks import BoxDetector

SMALL = {"depth": 18, "width": 8, "fpn_channels": 16, "head_features": 16}
"""Sizes that make a detector in no time and touch no fact."""
_STAGES = (("conv1", "bn1"), ("layer1",), ("layer2",), ("layer3",), ("layer4",))


def detector_facts(parser: ConfigParser) -> dict[str, Any]:
    """Settings of the detector that a configuration makes, its backbone thin."""
    arguments = {**parser.get_parsed_content("network_def", instantiate=False).get_config(), **SMALL}
    made = BoxDetector(**{key: value for key, value in arguments.items() if key != "_target_"})
    found = made.detector
    return {
        "frozen stages": _frozen(made),
        "statistics kept": _keeps_statistics(made),
        "anchors": _anchors(made),
        "ratios": list(found.rpn.anchor_generator.aspect_ratios[0]),
        "strides": _strides(made),
        "proposals": [found.rpn.post_nms_top_n(), made.train().detector.rpn.post_nms_top_n()],
        "proposal overlap": found.rpn.nms_thresh,
        "regions": found.roi_heads.fg_bg_sampler.batch_size_per_image,
        "score": found.roi_heads.score_thresh,
        "overlap": found.roi_heads.nms_thresh,
        "boxes": found.roi_heads.detections_per_img,
        "tested at": _resized(made),
    }


def _frozen(made: BoxDetector) -> int:
    """The last stage that does not learn, the stem being 0; -1 if all learn."""
    learns = [
        any(p.requires_grad for name in names for p in getattr(made.encoder, name).parameters()) for names in _STAGES
    ]
    assert learns == sorted(learns), "a stage learns below one that does not"
    return learns.count(False) - 1


def _keeps_statistics(made: BoxDetector) -> bool:
    """Whether a training step leaves the statistics of the backbone's batch normalisation as they are."""
    before = {name: buffer.clone() for name, buffer in made.encoder.named_buffers()}
    made.train()(torch.rand(1, 3, 64, 64), torch.tensor([[[4.0, 4, 40, 40, 0]]]))
    return all(torch.equal(buffer, before[name]) for name, buffer in made.encoder.named_buffers())


def _anchors(made: BoxDetector) -> list[float]:
    """Side of a square of an anchor's area, by map."""
    generator = made.detector.rpn.anchor_generator
    sides = [(cell[:, 2:] - cell[:, :2]).prod(1).sqrt() for cell in generator.cell_anchors]
    return [round(float(side.mean())) for side in sides]


def _strides(made: BoxDetector) -> list[int]:
    """Pixels between the places of each map of the pyramid."""
    maps = made.detector.backbone(torch.zeros(1, 3, 128, 128))
    return [128 // features.shape[-1] for features in maps.values()]


def _resized(made: BoxDetector) -> list[list[int]]:
    """Sizes at which a square and a wide image are looked at in the test."""
    transform = made.eval().detector.transform
    return [list(transform([torch.zeros(3, 512, width)])[0].image_sizes[0]) for width in (512, 1536)]
