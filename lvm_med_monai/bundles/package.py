"""A bundle with trained weights and the sizes that it was trained with: what MONAI Label and MONAI Deploy are given."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser

from lvm_med_monai.bundles.json_text import json_text, read_json

COMPLETE = ("train.json", "inference.json")
_PARTS = ("configs", "docs", "LICENSE")


def package(bundle: Path, out: Path, weights: Path, overlays: Sequence[str] = ()) -> Path:
    """Write a complete copy of a bundle: overlays applied to its configurations, weights in ``models/model.pt``.

    MONAI Label and MONAI Deploy read ``inference.json`` alone, so a network that was trained with an overlay (another
    size, another backbone) needs its values there. A value of an overlay goes into each of `COMPLETE` that has its
    id; an overlay with other ``class_names`` also changes the metadata's ``channel_def``. ``out`` appears whole, or not
    at all.

    Args:
        bundle: folder of the bundle; it is not changed.
        out: folder to make.
        weights: bare state dict of the bundle's network, such as ``model.pt`` of a run.
        overlays: names of files in the bundle's ``configs``, in the order of the training's command.

    Returns:
        ``out``.

    Raises:
        FileExistsError: ``out`` exists.
        FileNotFoundError: the bundle, an overlay or the weights do not exist.
        ValueError: the weights are no state dict of the network that the packaged configuration describes.
    """
    _check_inputs(bundle, out, weights, overlays)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".package-", dir=out.parent) as scratch:
        draft = Path(scratch) / out.name
        for part in _PARTS:
            source = bundle / part
            (shutil.copytree if source.is_dir() else _copy_file)(source, draft / part)
        for name in COMPLETE:
            path = draft / "configs" / name
            path.write_text(json_text(_laid_over(read_json(path), bundle, overlays)), encoding="utf-8")
        _describe_classes(draft, read_json(bundle / "configs" / "inference.json"))
        state = _fitting_state(draft, weights)
        (draft / "models").mkdir()
        torch.save(state, draft / "models" / "model.pt")
        draft.rename(out)
    return out


def _check_inputs(bundle: Path, out: Path, weights: Path, overlays: Sequence[str]) -> None:
    if not (bundle / "configs" / "inference.json").is_file():
        raise FileNotFoundError(f"{bundle} is no bundle: it has no configs/inference.json")
    if out.exists():
        raise FileExistsError(f"{out} exists: name a new folder, or remove it first")
    for path in (weights, *(bundle / "configs" / name for name in overlays)):
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist")


def _copy_file(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _laid_over(config: dict[str, Any], bundle: Path, overlays: Sequence[str]) -> dict[str, Any]:
    """A configuration with the values of overlays that it has a place for."""
    parser = ConfigParser(config)
    for name in overlays:
        for key, value in read_json(bundle / "configs" / name).items():
            target = key.lstrip("+")
            if target.split("::")[0] not in config:
                continue
            if key.startswith("+") and isinstance(value, list):
                value = [*parser[target], *value]
            elif key.startswith("+"):
                value = {**parser[target], **value}
            parser[target] = value
    merged = parser.get()
    merged.pop("_meta_", None)
    return merged


def _describe_classes(draft: Path, original: dict[str, Any]) -> None:
    """Name the classes of an overlay in the metadata, from which MONAI Label and MONAI Deploy take them."""
    names = read_json(draft / "configs" / "inference.json").get("class_names")
    if names == original.get("class_names"):
        return
    path = draft / "configs" / "metadata.json"
    metadata = read_json(path)
    pred = metadata["network_data_format"]["outputs"]["pred"]
    unnamed = pred["channel_def"].get("0") == "background" and names[0] != "background"
    background = ["background"] if unnamed else []
    pred["channel_def"] = {str(index): name for index, name in enumerate([*background, *names])}
    pred["num_channels"] = len(pred["channel_def"])
    path.write_text(json_text(metadata), encoding="utf-8")


def _fitting_state(bundle: Path, weights: Path) -> dict[str, torch.Tensor]:
    """The state dict of a weights file, after loading it into the bundle's network exactly."""
    parser = ConfigParser()
    parser.read_config(bundle / "configs" / "inference.json")
    network = parser.get_parsed_content("network_def")
    state = torch.load(weights, map_location="cpu", weights_only=True)
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{weights.name} does not fit the network of {bundle.name}: give the state dict of a run of this bundle, "
            f"and the overlays that it was trained with ({str(error)[:300]})"
        ) from error
    return state
