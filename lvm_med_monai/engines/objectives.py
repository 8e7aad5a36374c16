"""Objectives of the self-supervised baselines on two views: pairs, momentum contrast, local features."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from lvm_med_monai.engines.crops import CropTargets
from lvm_med_monai.engines.schedules import Progress
from lvm_med_monai.networks import CropsOutput, TwoViewOutput
from lvm_med_monai.transforms import CropGeometry


class Objective(nn.Module):
    """A loss in the form that a trainer calls, which knows how far training is.

    A subclass has ``loss``, which is computed in float32, also under autocast. Its buffers are part of the checkpoint.

    Attributes:
        progress: of this step; set by a ``TrainingProgress`` handler before it.
    """

    progress = Progress(step=0, epoch=0, epoch_length=1, epochs=1)

    def forward(self, output: CropsOutput, targets: CropTargets) -> torch.Tensor:
        """Loss of one step, a scalar."""
        with torch.autocast(output.z_s.device.type, enabled=False):
            return self.compare(views_in_float32(output), targets).mean()

    def compare(self, output: CropsOutput, targets: CropTargets) -> torch.Tensor:
        """Loss of outputs in float32."""
        raise NotImplementedError


class PairObjective(Objective):
    """A loss on the embeddings of the first two views: NT-Xent (SimCLR), Barlow Twins.

    Args:
        loss: function of two embeddings (B, F), computed in float32.
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, output: CropsOutput | TwoViewOutput, targets: CropTargets | CropGeometry) -> torch.Tensor:
        """Loss of one step, a scalar; where the views lie in their images does not matter to it."""
        with torch.autocast(output.z_s.device.type, enabled=False):
            return self.loss(in_float32(output.z_s), in_float32(output.z_t)).mean()


class MomentumContrastObjective(Objective):
    """MoCo: find the teacher's embedding of the other view among those of earlier batches.

    Args:
        loss: lightly's ``NTXentLoss`` with a memory bank, which each process fills with its own batches. The bank is
            part of the checkpoint, which lightly leaves out.

    References:
        MoCo v2, arXiv 2003.04297.
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def compare(self, output: CropsOutput, targets: CropTargets) -> torch.Tensor:
        """Loss of the query and its key."""
        return self.loss(output.z_s, output.targets[-1].embedding)

    def get_extra_state(self) -> dict[str, Any]:
        """The memory bank and its position."""
        memory: Any = self.loss.memory_bank
        return {"bank": memory.bank, "position": memory.bank_ptr}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Go on with the memory bank of a checkpoint.

        Raises:
            ValueError: the bank has another size.
        """
        bank: Any = self.loss.memory_bank
        if bank.bank.shape != state["bank"].shape:
            raise ValueError(f"its queue is {tuple(state['bank'].shape)}, this run's {tuple(bank.bank.shape)}")
        bank.bank.copy_(state["bank"])
        bank.bank_ptr.copy_(state["position"])


class LocalFeatureObjective(Objective):
    """VICRegL: variance, invariance and covariance of embeddings, and of cells that match by feature or by place.

    Args:
        loss: lightly's ``VICRegLLoss``. Its matches of 20 and 4 are those of the published code, cut to the number of
            cells of a map.

    References:
        VICRegL, arXiv 2210.01571.
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def compare(self, output: CropsOutput, targets: CropTargets) -> torch.Tensor:
        """Loss of all views and their cells, whose places count mirroring."""
        features, grids = [], []
        geometry = [crop for crops, n in zip(targets.crops, _numbers(output), strict=True) for crop in _split(crops, n)]
        for view, crop in zip(output.views, geometry, strict=True):
            if view.cells is None:
                raise ValueError("VICRegL needs features of cells: give the network a map_projector")
            features.append((view.embedding, view.cells))
            grids.append(crop.positions(*view.cells.shape[1:3]))
        n = output.n_global
        local = (features[n:], grids[n:]) if len(features) > n else (None, None)
        return self.loss(features[:n], grids[:n], *local)


def views_in_float32(output: CropsOutput) -> CropsOutput:
    """The output with every tensor in float32."""

    def convert(view: Any) -> Any:
        return type(view)(*(None if tensor is None else in_float32(tensor) for tensor in view))

    return replace(output, views=[convert(v) for v in output.views], targets=[convert(v) for v in output.targets])


def in_float32(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor in float32; float64 stays."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def _split(crops: CropGeometry, views: int) -> list[CropGeometry]:
    """Geometry of each view of a stack."""
    return [CropGeometry(*view) for view in zip(crops.box.chunk(views), crops.flipped.chunk(views), strict=True)]


def _numbers(output: CropsOutput) -> list[int]:
    """Views of each size."""
    n_local = len(output.views) - output.n_global
    return [output.n_global, n_local] if n_local else [output.n_global]
