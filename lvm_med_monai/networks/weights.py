"""Backbone weights from files: found whatever wrapper or prefix they carry, loaded exactly or not at all."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

_WRAPPERS = ("state_dict", "model", "net", "encoder")
_PREFIXES = ("module.", "backbone.", "encoder.")
_CLASSIFIER = "fc."
_COUNTER = "num_batches_tracked"

Network = TypeVar("Network", bound=nn.Module)
_logger = logging.getLogger(__name__)


def load_backbone(encoder: Network, path: str | Path | None) -> Network:
    """Load backbone weights in place, exactly.

    Accepts a bare state dict (LVM-Med's ResNet-50, torchvision's files, our own pretraining runs), one wrapped under
    ``state_dict``, ``model`` or ``net``, and the prefixes ``module.``, ``backbone.`` and ``encoder.``. A classifier
    (``fc.*``) is dropped, and batch-norm counters may be absent; nothing else may be missing or left over.

    Args:
        encoder: network to fill.
        path: file of weights; None leaves the network as it is, trained from scratch.

    Returns:
        The same network.

    Raises:
        FileNotFoundError: no file at ``path``.
        ValueError: the file holds no state dict, or its names or shapes do not fit ``encoder``.
    """
    if path is None:
        return encoder
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no backbone weights at {path}: give a file, or null to train from scratch")
    state = backbone_state(torch.load(path, map_location="cpu", weights_only=True), path.name)
    problems = _mismatches(encoder.state_dict(), state)
    if problems:
        raise ValueError(f"the weights in {path.name} do not fit {type(encoder).__name__}: " + "; ".join(problems))
    encoder.load_state_dict(state, strict=False)
    _logger.info("loaded %d tensors from %s into %s", len(state), path.name, type(encoder).__name__)
    return encoder


def backbone_state(loaded: object, name: str) -> dict[str, torch.Tensor]:
    """The bare state dict inside a loaded file, without wrappers, prefixes and classifier.

    Raises:
        ValueError: ``loaded`` holds no dictionary of tensors.
    """
    for wrapper in _WRAPPERS:
        if isinstance(loaded, dict) and isinstance(loaded.get(wrapper), dict):
            loaded = loaded[wrapper]
    if not isinstance(loaded, dict) or not loaded or not all(isinstance(v, torch.Tensor) for v in loaded.values()):
        raise ValueError(f"{name} holds no state dict of tensors: expected names such as conv1.weight")
    state = dict(loaded)
    for prefix in _PREFIXES:
        if any(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    return {key: value for key, value in state.items() if not key.startswith(_CLASSIFIER)}


def _mismatches(wanted: dict[str, torch.Tensor], found: dict[str, torch.Tensor]) -> list[str]:
    """One sentence for each way in which two state dicts differ."""
    missing = sorted(key for key in wanted.keys() - found.keys() if not key.endswith(_COUNTER))
    unknown = sorted(found.keys() - wanted.keys())
    shapes = [
        f"{key} is {tuple(found[key].shape)}, not {tuple(wanted[key].shape)}"
        for key in sorted(wanted.keys() & found.keys())
        if found[key].shape != wanted[key].shape
    ]
    problems = []
    for count, what, examples in (
        (len(missing), "missing", missing),
        (len(unknown), "unknown", unknown),
        (len(shapes), "of another shape", shapes),
    ):
        if count:
            problems.append(f"{count} tensors {what} (such as {', '.join(examples[:2])})")
    return problems
