"""From a bundle's folder, or a TorchScript file with its configuration, to a `DeployModel`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.data import load_net_with_metadata
from torch import nn

from lvm_med_monai.apps.deploy.model import DeployModel, innermost
from lvm_med_monai.apps.deploy.problems import DeployError
from lvm_med_monai.networks.weights import read_state

CONFIG, METADATA, WEIGHTS, SCRIPT = (
    "configs/inference.json",
    "configs/metadata.json",
    "models/model.pt",
    "models/model.ts",
)
FILE_TRANSFORMS = ("LoadImage", "SaveImage")
"""Transforms that read and write files, by the start of their names; the application does that itself."""
SECTIONS = ("preprocessing", "postprocessing")
NEEDED = ("device", "inferer", *SECTIONS)
"""What inference.json must have."""


def load_model(path: Path) -> DeployModel:
    """Load a bundle, and build everything of it that serving needs.

    Args:
        path: a bundle's folder with ``configs`` and ``models/model.pt`` or, instead of it, ``models/model.ts``; a
            folder that holds one such folder; or a TorchScript file that MONAI's ``ckpt_export`` wrote.

    Raises:
        DeployError: no bundle, no weights, weights that do not fit the network, or configs that cannot be served.
    """
    if path.is_file():
        return _from_script(path)
    folder = _bundle_folder(path)
    name = folder.resolve().name
    content, metadata = (_parsed((folder / file).read_bytes(), file, name) for file in (CONFIG, METADATA))
    config = ConfigParser({**content, "bundle_root": str(folder), "_meta_": metadata})
    weights, script = folder / WEIGHTS, folder / SCRIPT
    if weights.is_file():
        network = _built(config, "network_def", name)
        _load_weights(network, weights)
    elif script.is_file():
        network, _, _ = _read_script(script)
    else:
        raise DeployError(
            f"bundle {name} has no weights: neither {WEIGHTS} nor {SCRIPT} exists; train it, or package it with weights"
        )
    return _assemble(name, config, metadata, network)


def _bundle_folder(path: Path) -> Path:
    if not path.is_dir():
        raise DeployError(f"there is no bundle {path}; give a bundle's folder")
    found = [p for p in (path, *sorted(path.iterdir())) if (p / CONFIG).is_file() and (p / METADATA).is_file()]
    if not found:
        raise DeployError(f"{path} is no bundle: it has no {CONFIG} and {METADATA}")
    if len(found) > 1 and found[0] != path:
        raise DeployError(f"{path} holds {len(found)} bundles ({', '.join(p.name for p in found)}); give one of them")
    return found[0]


def _parsed(text: str | bytes, file: str, bundle: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError as error:  # of JSON, or of its encoding
        raise _fault(bundle, f"{file} is no JSON ({error})") from error
    if not isinstance(content, dict):
        raise _fault(bundle, f"{file} holds no JSON object")
    return content


def _assemble(name: str, config: ConfigParser, metadata: Mapping[str, Any], network: nn.Module) -> DeployModel:
    _check_metadata(metadata, name)
    config["_meta_"] = metadata
    if absent := [key for key in NEEDED if key not in config.config]:
        raise _fault(name, f"inference.json has no {' and no '.join(absent)}")
    for section in SECTIONS:
        steps = config[section].get("transforms") if isinstance(config[section], dict) else None
        if not isinstance(steps, list):
            raise _fault(name, f"{section} of inference.json has no list of transforms")
        config[f"{section}::transforms"] = [step for step in steps if not _touches_files(step)]
    for key in ("inferer", *SECTIONS, *(key for key in ("class_names", "multi_label") if key in config.config)):
        _built(config, key, name)
    try:
        device = torch.device(_built(config, "device", name))
        network = network.to(device).eval()
    except (RuntimeError, TypeError, AttributeError) as error:
        raise _fault(name, f"device or network_def of inference.json cannot be used: {error}") from error
    return DeployModel(name, str(metadata.get("version", "")), config, metadata, network, device)


def _check_metadata(metadata: Mapping[str, Any], bundle: str) -> None:
    for keys in (("inputs", "image"), ("outputs", "pred")):
        part: Any = metadata
        for key in ("network_data_format", *keys):
            part = part.get(key) if isinstance(part, Mapping) else None
        if not isinstance(part, Mapping):
            raise _fault(bundle, f"metadata.json has no network_data_format with {'.'.join(keys)}")
    channels = part.get("channel_def") or {}  # of the outputs, which came last
    if not isinstance(channels, Mapping) or not all(str(key).isdecimal() for key in channels):
        raise _fault(bundle, "outputs.pred.channel_def of metadata.json does not name channels by their number")


def _built(config: ConfigParser, key: str, bundle: str) -> Any:
    try:
        return config.get_parsed_content(key)
    except Exception as error:  # whatever the classes that a configuration names raise
        raise _fault(bundle, f"{key} of inference.json cannot be built: {innermost(error)[:300]}") from error


def _fault(bundle: str, text: str) -> DeployError:
    return DeployError(f"bundle {bundle} cannot be served: {text}; correct its configs")


def _touches_files(step: Any) -> bool:
    target = str(step.get("_target_", "")) if isinstance(step, dict) else ""  # others refer to steps by their id
    return target.rpartition(".")[2].startswith(FILE_TRANSFORMS)


def _load_weights(network: nn.Module, path: Path) -> None:
    try:
        state: Any = read_state(path)
    except ValueError as error:
        raise DeployError(f"the bundle's {error}") from error
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
    config = ConfigParser(_parsed(files["inference.json"], "inference.json", path.stem))
    return _assemble(path.stem, config, metadata, network)
