"""A pretrained backbone as a file of its own, with a record of where it comes from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import monai
import torch
from torch import nn

import lvm_med_monai
from lvm_med_monai.whole_file import whole_file


def save_backbone(encoder: nn.Module, path: str | Path, provenance: Mapping[str, Any] | None = None) -> Path:
    """Write an encoder's bare state dict, and beside it a JSON record of how it came to be.

    ``model.pt`` holds tensors only (it loads with ``weights_only=True``); ``model.json`` holds the versions, the
    number of tensors, the SHA-256 of the weights file and whatever ``provenance`` adds. Both appear whole or not at
    all.

    Args:
        encoder: network whose state dict is saved, on any device.
        path: where the weights go; the record takes the suffix ``.json``.
        provenance: further entries of the record; no identifiers of patients belong here.

    Returns:
        Path of the weights.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in encoder.state_dict().items()}
    with whole_file(path) as partial:
        torch.save(state, partial)
    record = {
        "network": type(encoder).__name__,
        "tensors": len(state),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "versions": {
            "lvm_med_monai": lvm_med_monai.__version__,
            "monai": monai.__version__,
            "torch": torch.__version__.split("+")[0],
        },
        **(provenance or {}),
    }
    with whole_file(path.with_suffix(".json")) as partial:
        partial.write_text(json.dumps(record, indent=2, default=str) + "\n", encoding="utf-8")
    return path
