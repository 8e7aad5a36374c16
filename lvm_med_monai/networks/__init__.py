"""Backbones, heads and the networks built on them."""

from lvm_med_monai.networks.classifier import Classifier
from lvm_med_monai.networks.detection import BoxDetector, DetectorForLabel
from lvm_med_monai.networks.dino_vit import DinoViTEncoder
from lvm_med_monai.networks.embedding import SliceEmbedding, load_embedding
from lvm_med_monai.networks.heads import Projector
from lvm_med_monai.networks.masked import MaskedNetwork, MaskedOutput
from lvm_med_monai.networks.parameter_groups import parameter_groups, scaled_rate
from lvm_med_monai.networks.pretraining import PretrainingNetwork, TwoViewOutput
from lvm_med_monai.networks.prompted import PromptedSegmenter
from lvm_med_monai.networks.prompted_slices import PromptedSlices
from lvm_med_monai.networks.resnet import Features, ResNetEncoder
from lvm_med_monai.networks.segmentation import SegmentationUNet
from lvm_med_monai.networks.segmentation_vit import SegmentationViT
from lvm_med_monai.networks.self_supervised import (
    CropsOutput,
    Prototypes,
    SelfSupervisedNetwork,
    ViewOutput,
    synchronised,
)
from lvm_med_monai.networks.vit import ViTEncoder
from lvm_med_monai.networks.weights import load_backbone, load_prompted

__all__ = [
    "BoxDetector",
    "Classifier",
    "CropsOutput",
    "DetectorForLabel",
    "DinoViTEncoder",
    "Features",
    "MaskedNetwork",
    "MaskedOutput",
    "PretrainingNetwork",
    "Projector",
    "PromptedSegmenter",
    "PromptedSlices",
    "Prototypes",
    "ResNetEncoder",
    "SegmentationUNet",
    "SegmentationViT",
    "SelfSupervisedNetwork",
    "SliceEmbedding",
    "TwoViewOutput",
    "ViTEncoder",
    "ViewOutput",
    "load_backbone",
    "load_embedding",
    "load_prompted",
    "parameter_groups",
    "scaled_rate",
    "synchronised",
]
