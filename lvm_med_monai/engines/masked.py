"""The objective of DINOv2: self-distillation of class tokens and of hidden patches, and a spread of class tokens."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from lvm_med_monai.engines.crops import CropTargets
from lvm_med_monai.engines.objectives import in_float32
from lvm_med_monai.engines.prototypes import SelfDistillationObjective
from lvm_med_monai.networks import MaskedOutput


class MaskedDistillationObjective(SelfDistillationObjective):
    """DINOv2: ``w_dino * DINO + w_ibot * iBOT + w_koleo * KoLeo``.

    DINO compares class tokens of different views; iBOT the hidden patches of the student with the teacher's, averaged
    over the patches of an image and then over the images of all global views; KoLeo pushes the class tokens of each
    global view apart, summed over the views.

    Args:
        loss: lightly's ``DINOLoss``.
        patch_loss: lightly's ``IBOTPatchLoss``.
        spread_loss: lightly's ``KoLeoLoss``.
        weights: of the three.
        teacher_temperature: at the start and after the warm-up, for both losses that have it.
        warm_up_epochs: epochs over which it rises on a line.

    References:
        DINOv2, arXiv 2304.07193, section 4.
    """

    def __init__(
        self,
        loss: nn.Module,
        patch_loss: nn.Module,
        spread_loss: nn.Module,
        weights: Sequence[float] = (1.0, 1.0, 0.1),
        teacher_temperature: Sequence[float] = (0.04, 0.07),
        warm_up_epochs: float = 30,
    ) -> None:
        super().__init__(loss, teacher_temperature, warm_up_epochs)
        self.patch_loss = patch_loss
        self.spread_loss = spread_loss
        self.weights = tuple(weights)

    def compare(self, output: MaskedOutput, targets: CropTargets) -> torch.Tensor:  # type: ignore[override]  # its own output
        """Weighted sum of the three losses."""
        dino, ibot, koleo = self.weights
        student, teacher = in_float32(output.patches), in_float32(output.patch_targets)
        loss = dino * super().compare(output, targets)
        patches = self.patch_loss(teacher, student, targets.masks, teacher_temp=self.temperature)
        spread = torch.stack([self.spread_loss(in_float32(tokens)) for tokens in output.class_tokens]).sum()
        return loss + ibot * patches + koleo * spread
