"""Parameters sorted for an optimiser: which decay, and how fast each layer learns."""

from __future__ import annotations

import re
from typing import Any

import ignite.distributed as idist
from torch import nn

_BLOCK = re.compile(r"\bblocks\.(\d+)\.")
_FIRST = ("patch_embed", "pos_embed", "cls_token", "mask_token")
_RULES = {"linear": 1.0, "sqrt": 0.5}


def parameter_groups(
    network: nn.Module,
    learning_rate: float,
    weight_decay: float,
    layer_decay: float = 1.0,
    patch_factor: float = 1.0,
) -> list[dict[str, Any]]:
    """Groups for an optimiser: biases, norms and layer scales, which have one dimension or fewer, do not decay.

    A ViT's block i of n learns with ``learning_rate * layer_decay ** (n - i)``, the tokens and positions before the
    first block with that of power ``n + 1``, and everything behind the blocks with the full rate.

    Args:
        network: parameters without gradients are left out.
        learning_rate: of the last layers.
        weight_decay: of weights.
        layer_decay: factor from a layer to the one before it, in (0, 1]; 1 for networks without blocks.
        patch_factor: further factor for the patch embedding.

    Raises:
        ValueError: ``layer_decay`` lies outside (0, 1].

    References:
        BEiT, arXiv 2106.08254 (layer decay); DINOv2, arXiv 2304.07193 (0.9, and 0.2 for the patch embedding).
    """
    if not 0 < layer_decay <= 1:
        raise ValueError(f"layer_decay is a factor in (0, 1], got {layer_decay}")
    blocks = [int(found[1]) for name, _ in network.named_parameters() if (found := _BLOCK.search(name))]
    count = max(blocks, default=-1) + 1
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        factor = layer_decay ** _layers_behind(name, count) * (patch_factor if "patch_embed" in name else 1)
        decay = 0.0 if parameter.ndim <= 1 else weight_decay
        groups.setdefault((learning_rate * factor, decay), []).append(parameter)
    return [{"params": params, "lr": rate, "weight_decay": decay} for (rate, decay), params in groups.items()]


def _layers_behind(name: str, count: int) -> int:
    """Layers between a parameter and the end of ``count`` blocks, both ends counted."""
    found = _BLOCK.search(name)
    if found:
        return count - int(found[1])
    return count + 1 if any(part in name for part in _FIRST) else 0


def scaled_rate(rate: float, batch_size: int, reference: int = 256, rule: str = "linear") -> float:
    """Learning rate for the batch of all processes together.

    Args:
        rate: learning rate at the reference.
        batch_size: images a process and step.
        reference: batch for which ``rate`` is given.
        rule: ``"linear"``, or ``"sqrt"`` for the square root of the ratio.

    Raises:
        ValueError: an unknown rule.
    """
    if rule not in _RULES:
        raise ValueError(f"the rule is one of {', '.join(_RULES)}, got {rule!r}")
    return rate * (batch_size * idist.get_world_size() / reference) ** _RULES[rule]
