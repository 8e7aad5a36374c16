"""Bundles whose network is a known function, so that the right answer is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ckpt_export
from torch import nn

THRESHOLD = {"hounsfield": 50.0, "magnitude": 1074.0, "gray": 128.0, "rgb": 128.0}
"""Value between the body and what is around it, by format of the input."""


def metadata(task: str, input_format: str, channels: int, names: list[str]) -> dict[str, Any]:
    return {
        "name": "Known function",
        "version": "0.1.0",
        "task": task,
        "network_data_format": {
            "inputs": {"image": {"type": "image", "format": input_format, "num_channels": channels}},
            "outputs": {"pred": {"type": "image", "channel_def": {str(i): name for i, name in enumerate(names)}}},
        },
    }


def write(folder: Path, config: dict[str, Any], meta: dict[str, Any], state: dict[str, torch.Tensor]) -> Path:
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    (folder / "configs" / "inference.json").write_text(json.dumps(config))
    (folder / "configs" / "metadata.json").write_text(json.dumps(meta))
    torch.save(state, folder / "models" / "model.pt")
    return folder


def threshold_bundle(
    folder: Path, input_format: str = "hounsfield", resample: bool = True, level: float | None = None
) -> Path:
    """Segmentation: the body is what is brighter than a threshold; turned to RAS and resampled to 0.5 mm on the way."""
    channels = 3 if input_format == "rgb" else 1
    spatial: list[dict[str, Any]] = [{"_target_": "Orientationd", "keys": "image", "axcodes": "RAS", "labels": None}]
    if resample:
        spatial += [{"_target_": "Spacingd", "keys": "image", "pixdim": [0.5, 0.5, -1], "mode": "bilinear"}]
    config = {
        "bundle_root": ".",
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "network_def": {"_target_": "torch.nn.Conv2d", "in_channels": channels, "out_channels": 2, "kernel_size": 1},
        "network": "$@network_def.to(@device)",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "LoadImaged", "keys": "image"},
                {"_target_": "EnsureChannelFirstd", "keys": "image"},
                *spatial,
                {"_target_": "EnsureTyped", "keys": "image"},
            ],
        },
        "inferer": {"_target_": "SliceInferer", "roi_size": [64, 64], "spatial_dim": 2, "overlap": 0.25},
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "Activationsd", "keys": "pred", "softmax": True},
                {
                    "_target_": "Invertd",
                    "keys": "pred",
                    "transform": "@preprocessing",
                    "orig_keys": "image",
                    "nearest_interp": False,
                    "to_tensor": True,
                },
                {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
                {"_target_": "SaveImaged", "keys": "pred", "output_dir": "$@bundle_root + '/eval'"},
            ],
        },
    }
    level = THRESHOLD[input_format] if level is None else level
    state = {
        "weight": torch.tensor([0.0, 1.0 / channels])[:, None, None, None].expand(2, channels, 1, 1).clone(),
        "bias": torch.tensor([0.0, -level]),
    }
    return write(folder, config, metadata("Segmentation", input_format, channels, ["background", "tumor"]), state)


def export_script(bundle: Path) -> Path:
    """``models/model.ts`` of a bundle, as MONAI's ``ckpt_export`` writes it."""
    target = bundle / "models" / "model.ts"
    ckpt_export(
        "network_def",
        filepath=str(target),
        ckpt_file=str(bundle / "models" / "model.pt"),
        meta_file=str(bundle / "configs" / "metadata.json"),
        config_file=str(bundle / "configs" / "inference.json"),
    )
    return target


class MeanBrightness(nn.Module):
    """(B, 3, W, H) -> (B, 2): scores for dark and bright pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.tensor(128.0))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        above = image.mean(dim=(1, 2, 3)) - self.level
        return torch.stack([-above, above], dim=1) / 50


class BodyBox(nn.Module):
    """(B, 3, W, H) -> (B, 3, 6): the box around all bright pixels, class 1, and two rows of padding."""

    def __init__(self) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.tensor(128.0))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        found = torch.full((len(image), 3, 6), -1.0)
        for item, mask in zip(found, image.mean(dim=1) > self.level, strict=True):
            x, y = torch.nonzero(mask, as_tuple=True)
            item[0] = torch.tensor([x.min(), y.min(), x.max() + 1, y.max() + 1, 1, 0.75])
        return found


def _flat_bundle(folder: Path, task: str, network: str, post: list[dict[str, Any]], extra: dict[str, Any]) -> Path:
    config = {
        "device": "$torch.device('cpu')",
        "network_def": {"_target_": f"tests.apps.deploy.known.{network}"},
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "EnsureChannelFirstd", "keys": "image"},
                {"_target_": "SqueezeDimd", "keys": "image", "dim": -1},
                {"_target_": "EnsureTyped", "keys": "image"},
            ],
        },
        "inferer": {"_target_": "SimpleInferer"},
        "postprocessing": {"_target_": "Compose", "transforms": post},
        "class_names": ["dark", "bright"],
        **extra,
    }
    return write(folder, config, metadata(task, "rgb", 3, ["dark", "bright"]), {"level": torch.tensor(128.0)})


def classifier_bundle(folder: Path, multi_label: bool) -> Path:
    """Classification: a picture is bright if its mean is above 128."""
    step = {"_target_": "Activationsd", "keys": "pred", "softmax": not multi_label, "sigmoid": multi_label}
    return _flat_bundle(folder, "Classification", "MeanBrightness", [step], {"multi_label": multi_label})


def detector_bundle(folder: Path) -> Path:
    """Detection: one box around what is brighter than 128."""
    return _flat_bundle(folder, "Detection", "BodyBox", [{"_target_": "EnsureTyped", "keys": "pred"}], {})
