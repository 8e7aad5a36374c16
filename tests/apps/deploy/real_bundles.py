"""The repository's bundles at demo size, with random weights or with a known function for a network."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser

from lvm_med_monai.apps.deploy.loading import load_model
from lvm_med_monai.apps.deploy.series import read_series
from lvm_med_monai.apps.deploy.values import volume_of
from tests.apps.deploy.scenes import SCENES, Scene

BUNDLES = Path(__file__).resolve().parents[3] / "bundles"
SCENE_OF_FORMAT = {"hounsfield": "ct", "magnitude": "mr", "gray": "cr", "rgb": "us_rgb"}


def names(task: str) -> list[str]:
    """Bundles of a task that are there."""
    return sorted(path.parent.parent.name for path in BUNDLES.glob(f"*_{task}/configs/inference.json"))


def scene_for(name: str, folder: Path) -> Scene:
    """A series of the kind that a bundle is made for."""
    meta = json.loads((BUNDLES / name / "configs" / "metadata.json").read_text())
    return SCENES[SCENE_OF_FORMAT[meta["network_data_format"]["inputs"]["image"]["format"]]](folder)


def demo_bundle(name: str, folder: Path) -> Path:
    """A copy at the sizes of demo.json, with random weights."""
    config = _config(name)
    network = ConfigParser(config).get_parsed_content("network_def")
    return _write(name, folder, config, network.state_dict())


def known_bundle(name: str, folder: Path, scene: Scene) -> Path:
    """A copy whose network is a threshold half way between body and background as the preprocessing has them.

    All transforms and the inferer are the bundle's own: the right mask comes out only if they lead there and back.
    """
    config = _config(name)
    config["pixel_mm"] = 0.5  # finer than a pixel, so that the way there and back costs little
    classes = len(config["class_names"])
    config["network_def"] = {"_target_": "torch.nn.Conv2d", "in_channels": 3, "out_channels": classes, "kernel_size": 1}
    weight = torch.zeros(classes, 3, 1, 1)
    weight[1] = 1 / 3
    bias = torch.full((classes,), -1e6)
    bias[0] = 0
    bundle = _write(name, folder, config, {"weight": weight, "bias": bias})
    bias[1] = -_level(bundle, scene)
    torch.save({"weight": weight, "bias": bias}, bundle / "models" / "model.pt")
    return bundle


def _level(bundle: Path, scene: Scene) -> float:
    model = load_model(bundle)
    image = read_series(scene.folder)[0]
    array, meta = volume_of(image, model)
    captured: list[torch.Tensor] = []

    class Stop(BaseException):
        """No error of the bundle, so the model lets it pass."""

    def inferer(inputs: torch.Tensor, network: Any) -> torch.Tensor:
        captured.append(inputs)
        raise Stop

    model.config["inferer"] = inferer
    with suppress(Stop):
        model.predict(array, meta)
    values = np.asarray(captured[0].float().mean(dim=1)).ravel()
    return float((values.min() + values.max()) / 2)


def _config(name: str) -> dict[str, Any]:
    config = json.loads((BUNDLES / name / "configs" / "inference.json").read_text())
    demo = json.loads((BUNDLES / name / "configs" / "demo.json").read_text())
    return {**config, **{key: value for key, value in demo.items() if key in config}}


def _write(name: str, folder: Path, config: dict[str, Any], state: dict[str, torch.Tensor]) -> Path:
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    (folder / "configs" / "inference.json").write_text(json.dumps(config))
    (folder / "configs" / "metadata.json").write_text((BUNDLES / name / "configs" / "metadata.json").read_text())
    torch.save(state, folder / "models" / "model.pt")
    return folder
