"""What leaves a training run."""

from lvm_med_monai.export.backbone import save_backbone

__all__ = ["save_backbone"]
