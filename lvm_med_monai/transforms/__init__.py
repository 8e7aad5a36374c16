"""Augmented views for pretraining, and their geometry."""

from lvm_med_monai.transforms.crops import CropGeometry
from lvm_med_monai.transforms.views import IMAGENET_MEAN, IMAGENET_STD, MultiView, ViewPolicy, Views, normalise

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "CropGeometry", "MultiView", "ViewPolicy", "Views", "normalise"]
