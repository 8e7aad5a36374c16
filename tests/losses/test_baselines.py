from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from monai.losses import ContrastiveLoss

from lvm_med_monai.losses import NTXentLoss


def views(batch: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(batch, 8, generator=generator)
    return z, z + torch.randn(batch, 8, generator=generator)


def nt_xent_by_hand(z_s: np.ndarray, z_t: np.ndarray, temperature: float) -> float:
    z = [x / np.linalg.norm(x) for x in [*z_s.astype(float), *z_t.astype(float)]]
    total, n = 0.0, len(z_s)
    for i in range(2 * n):
        partner = i + n if i < n else i - n
        others = sum(math.exp(z[i] @ z[j] / temperature) for j in range(2 * n) if j != i)
        total -= math.log(math.exp(z[i] @ z[partner] / temperature) / others)
    return total / (2 * n)


@pytest.mark.parametrize("batch", [1, 2, 3, 16])
@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_value_equals_the_formula_and_monai(batch, temperature):
    z_s, z_t = views(batch)
    loss = NTXentLoss(temperature)(z_s, z_t).item()
    assert loss == pytest.approx(nt_xent_by_hand(z_s.numpy(), z_t.numpy(), temperature), abs=1e-5)
    assert loss == pytest.approx(ContrastiveLoss(temperature)(z_s, z_t).item(), abs=1e-5)


def test_cold_temperatures_do_not_overflow():
    assert torch.isfinite(NTXentLoss(0.005)(*views(4)))


def test_autocast_does_not_reach_the_loss():
    z_s, z_t = views(6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = NTXentLoss()(z_s, z_t)
    assert loss.dtype == torch.float32
    assert loss == NTXentLoss()(z_s, z_t)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="temperature must be positive, got 0"):
        NTXentLoss(0)
    with pytest.raises(ValueError, match=r"both views must have shape \(B, C\), got \(4, 8\) and \(3, 8\)"):
        NTXentLoss()(views(4)[0], views(3)[0])
