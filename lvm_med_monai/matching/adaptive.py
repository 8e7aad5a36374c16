"""A lambda that follows the training."""

from __future__ import annotations

import torch
from torch import nn

from lvm_med_monai.matching.estimator import Estimate


class AdaptiveLambda(nn.Module):
    """Lambda of ``imle`` that is just large enough for a gradient (AIMLE).

    A small lambda moves few nodes between ``v~`` and ``v'``, so most gradients are zero; a large one moves all wrong
    nodes, the saturated form. After each step lambda grows by ``rate`` if, in the running mean, fewer than ``target``
    nodes a graph moved, and shrinks by it otherwise. Where even the saturated form moves fewer, lambda stays at
    ``largest``: the estimate is then that of a constant lambda.

    Args:
        largest: first and largest value.
        target: wanted number of moved nodes of a graph, mean over graphs and samples.
        rate: relative change a step.
        decay: share of the running mean that a step keeps.

    References:
        Minervini et al., "Adaptive perturbation-based gradient estimation for discrete latent variable models",
        arXiv 2209.04862.
    """

    value: torch.Tensor
    moved: torch.Tensor

    def __init__(self, largest: float = 80.0, target: float = 1.0, rate: float = 0.05, decay: float = 0.9) -> None:
        super().__init__()
        self.largest, self.target, self.rate, self.decay = largest, target, rate, decay
        self.register_buffer("value", torch.tensor(float(largest)))
        self.register_buffer("moved", torch.tensor(float(target)))

    @torch.no_grad()
    def update(self, estimate: Estimate) -> None:
        """Adapt to an estimate of ``imle``.

        Raises:
            ValueError: the estimate has no solutions, as that of ``sinkhorn``.
        """
        if estimate.v is None or estimate.shifted is None:
            raise ValueError("only the estimate of imle has a lambda to adapt")
        moved = (estimate.v != estimate.shifted).sum(dim=2).to(self.moved).mean()
        self.moved.lerp_(moved.to(self.moved.device), 1 - self.decay)
        factor = torch.where(self.moved < self.target, 1 + self.rate, 1 / (1 + self.rate))
        self.value.mul_(factor).clamp_(max=self.largest)
