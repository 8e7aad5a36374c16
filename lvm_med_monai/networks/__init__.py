"""Backbones, heads and the networks built on them."""

from lvm_med_monai.networks.heads import Projector
from lvm_med_monai.networks.pretraining import PretrainingNetwork, TwoViewOutput
from lvm_med_monai.networks.resnet import Features, ResNetEncoder
from lvm_med_monai.networks.segmentation import SegmentationUNet
from lvm_med_monai.networks.weights import load_backbone

__all__ = [
    "Features",
    "PretrainingNetwork",
    "Projector",
    "ResNetEncoder",
    "SegmentationUNet",
    "TwoViewOutput",
    "load_backbone",
]
