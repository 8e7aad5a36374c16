"""A bundle as the applications use it: transforms, network and inferer, without its readers and writers of files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor, load_net_with_metadata
from torch import Tensor, nn

from lvm_med_monai.apps.deploy.problems import DeployError

CONFIG, METADATA, WEIGHTS, SCRIPT = (
    "configs/inference.json",
    "configs/metadata.json",
    "models/model.pt",
    "models/model.ts",
)
FILE_TRANSFORMS = ("LoadImage", "SaveImage")
"""Transforms that read and write files, by the start of their names; the application does that itself."""
PICTURES = frozenset(["rgb", "gray"])
"""Formats of inputs that are pictures of 0 to 255."""


@dataclass(frozen=True, eq=False)
class DeployModel:
    """A bundle with its weights loaded.

    Attributes:
        name: of the bundle's folder or file.
        version: of its metadata.
        config: parsed inference configuration.
        metadata: the content of metadata.json.
        network: in evaluation mode, on its device.
        device: where the network is.
    """

    name: str
    version: str
    config: ConfigParser
    metadata: Mapping[str, Any]
    network: nn.Module
    device: torch.device

    @property
    def input_format(self) -> str:
        """Format of the input: "hounsfield", "magnitude", "rgb" or "gray"."""
        return str(self._input.get("format", "")).lower()

    @property
    def modality(self) -> str:
        """DICOM's code of the modality that the bundle is for, or empty."""
        return str(self._input.get("modality", "")).upper()

    @property
    def _input(self) -> Mapping[str, Any]:
        return self.metadata["network_data_format"]["inputs"]["image"]

    @property
    def takes_pictures(self) -> bool:
        """Whether the input is a picture of 0 to 255 instead of measured values."""
        return self.input_format in PICTURES

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the output's channels: `class_names` of inference.json, else `channel_def` of metadata.json."""
        named = self.config.get("class_names")
        if named is not None:
            return tuple(str(name) for name in self.config.get_parsed_content("class_names"))
        channels = self.metadata["network_data_format"]["outputs"]["pred"].get("channel_def") or {}
        return tuple(str(channels[key]) for key in sorted(channels, key=int))

    @property
    def multi_label(self) -> bool:
        """Whether a classifier's classes are independent of each other."""
        named = self.config.get("multi_label")
        return bool(self.metadata.get("multi_label", False) if named is None else named)

    def predict(self, array: Any, meta: dict[str, Any]) -> Any:
        """Preprocessing, network and postprocessing of one image.

        Args:
            array: as the bundle's own reader returns it, such as (W, H, D) or (W, H, D, 3) float32.
            meta: MONAI's metadata of it.

        Returns:
            ``pred`` after postprocessing, on the CPU.

        Raises:
            DeployError: the bundle refuses the image.
        """
        preprocess, postprocess = (self.config.get_parsed_content(key) for key in ("preprocessing", "postprocessing"))
        inferer = self.config.get_parsed_content("inferer")
        item: dict[str, Any] = {"image": MetaTensor.ensure_torch_and_prune_meta(array, meta)}
        try:
            item = preprocess(item)
            with torch.no_grad():
                item["pred"] = inferer(item["image"][None].to(self.device), self.network)[0]
            pred = postprocess(item)["pred"]
        except RuntimeError as error:  # MONAI wraps every error of a transform in one
            raise DeployError(f"bundle {self.name} cannot process the series: {_innermost(error)}") from error
        except ValueError as error:
            raise DeployError(f"bundle {self.name} cannot process the series: {error}") from error
        return pred.cpu() if isinstance(pred, Tensor) else pred


def load_model(path: Path) -> DeployModel:
    """Load a bundle.

    Args:
        path: a bundle's folder with ``configs`` and ``models/model.pt`` or, instead of it, ``models/model.ts``; a
            folder that holds one such folder; or a TorchScript file that MONAI's ``ckpt_export`` wrote.

    Raises:
        DeployError: no bundle, no weights, or weights that do not fit the network.
    """
    if path.is_file():
        return _from_script(path)
    folder = _bundle_folder(path)
    config = ConfigParser()
    config.read_config(folder / CONFIG)
    config.read_meta(folder / METADATA)
    config["bundle_root"] = str(folder)
    weights, script = folder / WEIGHTS, folder / SCRIPT
    if weights.is_file():
        network = config.get_parsed_content("network_def")
        _load_weights(network, weights)
    elif script.is_file():
        network, _, _ = _read_script(script)
    else:
        raise DeployError(
            f"bundle {folder.resolve().name} has no weights: neither {WEIGHTS} nor {SCRIPT} exists; "
            "train it, or package it with weights"
        )
    return _assemble(folder.resolve().name, config, network)


def _bundle_folder(path: Path) -> Path:
    if not path.is_dir():
        raise DeployError(f"there is no bundle {path}; give a bundle's folder")
    found = [p for p in (path, *sorted(path.iterdir())) if (p / CONFIG).is_file() and (p / METADATA).is_file()]
    if not found:
        raise DeployError(f"{path} is no bundle: it has no {CONFIG} and {METADATA}")
    if len(found) > 1 and found[0] != path:
        raise DeployError(f"{path} holds {len(found)} bundles ({', '.join(p.name for p in found)}); give one of them")
    return found[0]


def _assemble(name: str, config: ConfigParser, network: nn.Module) -> DeployModel:
    for section in ("preprocessing", "postprocessing"):
        steps = config[f"{section}::transforms"]
        config[f"{section}::transforms"] = [step for step in steps if not _touches_files(step)]
    device = torch.device(config.get_parsed_content("device"))
    metadata = config["_meta_"]
    return DeployModel(name, str(metadata.get("version", "")), config, metadata, network.to(device).eval(), device)


def _touches_files(step: Any) -> bool:
    target = str(step.get("_target_", "")) if isinstance(step, dict) else ""  # others refer to steps by their id
    return target.rpartition(".")[2].startswith(FILE_TRANSFORMS)


def _load_weights(network: nn.Module, path: Path) -> None:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types on files that are no checkpoint
        raise DeployError(f"{path.name} of the bundle is no file of weights ({type(error).__name__})") from error
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise DeployError(
            f"{path.name} does not fit network_def of inference.json: {str(error)[:300]}; "
            "package the bundle with the sizes that it was trained with"
        ) from error


def _read_script(path: Path) -> tuple[nn.Module, dict[str, Any], dict[str, Any]]:
    try:
        return load_net_with_metadata(str(path), torch.device("cpu"), more_extra_files=("inference.json",))
    except json.JSONDecodeError:  # MONAI's reading of metadata.json that is not there
        return torch.jit.load(str(path), torch.device("cpu")), {}, {}
    except Exception as error:  # torch raises several types
        raise DeployError(f"{path.name} is no TorchScript file ({type(error).__name__})") from error


def _from_script(path: Path) -> DeployModel:
    network, metadata, files = _read_script(path)
    if not files.get("inference.json"):
        raise DeployError(
            f"{path.name} carries no inference.json, so how to prepare its input is not known; export it with "
            "python -m monai.bundle ckpt_export"
        )
    config = ConfigParser(json.loads(files["inference.json"]))
    config["_meta_"] = metadata
    return _assemble(path.stem, config, network)


def _innermost(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{error}" or type(error).__name__
