"""Bundles with weights of demo size: random, but answering with every class, which short training does not ensure."""

from __future__ import annotations

from pathlib import Path

import torch
from monai.bundle import ConfigParser

from lvm_med_monai.bundles.json_text import read_json
from lvm_med_monai.bundles.package import package

ROOT = Path(__file__).resolve().parents[3]
SERVED = ("_segmentation", "_classification", "_detection", "_deepgrow_annotation", "_embedding")
BUNDLES = sorted(path.name for path in (ROOT / "bundles").iterdir() if path.name.endswith(SERVED))


def small_package(name: str, out: Path, picture: Path) -> Path:
    """Package a bundle of the repository with the sizes of its ``demo.json``.

    The last layer of one that segments is shifted until no class has an advantage on the picture.
    """
    bundle = ROOT / "bundles" / name
    parser = ConfigParser()
    parser.read_config([bundle / "configs" / "inference.json"])
    for key, value in read_json(bundle / "configs" / "demo.json").items():
        if key in parser.config:
            parser[key] = value
    parser["device"] = "cpu"
    torch.manual_seed(0)
    network = parser.get_parsed_content("network_def").eval()
    if name.endswith("_segmentation"):
        _balance(network, parser, picture)
    weights = out.parent / f"{name}.pt"
    torch.save(network.state_dict(), weights)
    folder = package(bundle, out, weights, ["demo.json"])
    weights.unlink()
    return folder


def _balance(network: torch.nn.Module, parser: ConfigParser, picture: Path) -> None:
    image = parser.get_parsed_content("preprocessing")({"image": str(picture)})["image"]
    with torch.no_grad():
        scores = parser.get_parsed_content("inferer")(image[None], network)[0].flatten(1)
        biases = [item for key, item in network.named_parameters() if key.endswith("bias") and len(item) == len(scores)]
        biases[-1] -= scores.median(dim=1).values
