"""LVM-Med for MONAI: self-supervised pretraining by second-order graph matching, and the bundles built on it."""

__version__ = "0.1.0"
