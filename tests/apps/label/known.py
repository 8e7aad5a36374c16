"""Bundles of the collection around a network that is a known function, so that the right answer is known."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[3]
MEAN, SPREAD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
"""What every bundle subtracts from its channels of 0..1 and divides them by."""
WIDE = 9
"""Pixels of a kernel."""


def brighter_than_half(folder: Path, name: str) -> Path:
    """Segmentation: the first class is where the picture, or the CT in its window, is brighter than one half.

    The kernel is wide, and its middle alone counts: what is not finite spreads as it does in a deep network.
    """
    conv = {
        "_target_": "torch.nn.Conv2d",
        "in_channels": 3,
        "out_channels": 2,
        "kernel_size": WIDE,
        "padding": WIDE // 2,
    }
    weight = torch.zeros(2, 3, WIDE, WIDE)
    weight[1, :, WIDE // 2, WIDE // 2] = 20 * SPREAD / 3
    state = {"weight": weight, "bias": torch.tensor([0.0, 20 * (float(MEAN.mean()) - 0.5)])}
    return _with_network(folder, name, {"network_def": conv, "image_size": [64, 64]}, state)


def mean_brightness(folder: Path, name: str, classes: int) -> Path:
    """Classification: the first class is the likelier, the brighter the picture."""
    network = f"$torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, {classes}))"
    weight = torch.zeros(classes, 3)
    weight[0] = 1
    state = {"2.weight": weight, "2.bias": torch.zeros(classes)}
    return _with_network(folder, name, {"network_def": network, "image_size": [64, 64]}, state)


def four_means(folder: Path, name: str = "slice_embedding") -> Path:
    """Embedding: the mean colour of each quarter of a slice."""
    network = "$torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten())"
    return _with_network(folder, name, {"network_def": network, "image_size": [64, 64]}, {})


def bright_box(folder: Path, name: str) -> Path:
    """Detection: one box around what is brighter than one half."""
    network = {"_target_": "tests.apps.label.known.BrightBox"}
    return _with_network(folder, name, {"network_def": network}, {"level": torch.tensor(0.5)})


class BrightBox(torch.nn.Module):
    """(B, 3, W, H) -> (B, 2, 6): the box around all bright pixels, and a row of padding."""

    def __init__(self) -> None:
        super().__init__()
        self.level = torch.nn.Parameter(torch.tensor(0.5))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        found = torch.full((len(image), 2, 6), -1.0)
        for item, mask in zip(found, image.mean(dim=1) > self.level, strict=True):
            x, y = torch.nonzero(mask, as_tuple=True)
            if len(x):
                item[0] = torch.tensor([x.min(), y.min(), x.max() + 1, y.max() + 1, 0, 0.75])
        return found


def spoilt(bundle: Path, value: float = float("nan")) -> Path:
    """Make all weights of a bundle one value."""
    file = bundle / "models" / "model.pt"
    state = torch.load(file, weights_only=True)
    torch.save({key: torch.full_like(item, value) for key, item in state.items()}, file)
    return bundle


def _with_network(folder: Path, name: str, values: dict[str, Any], state: dict[str, torch.Tensor]) -> Path:
    source = next(path for path in (ROOT / "bundles").iterdir() if name.endswith(path.name))
    bundle = folder / name
    shutil.copytree(source, bundle, ignore=shutil.ignore_patterns("models", "runs", "eval", "data"))
    file = bundle / "configs" / "inference.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps({**config, **values}))
    (bundle / "models").mkdir()
    torch.save(state, bundle / "models" / "model.pt")
    return bundle
