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
from lvm_med_monai.bundles.references import references_in, top_of, unresolved
from lvm_med_monai.networks.weights import read_state

COMPLETE = ("train.json", "inference.json")
WAYS_TO_RUN = ("evaluate.json", "multi_gpu_train.json")
"""Overlays that change how a bundle runs and nothing of what was trained."""
PARTS = ("configs", "docs", "LICENSE")
"""What of a bundle's folder is given away; data, runs and results may lie beside it."""


def package(bundle: Path, out: Path, weights: Path, overlays: Sequence[str] = ()) -> Path:
    """Write a complete copy of a bundle: overlays applied to its configurations, weights in ``models/model.pt``.

    MONAI Label and MONAI Deploy read ``inference.json`` alone, so a network that was trained with an overlay (another
    size, another backbone) needs its values there. A value of an overlay goes into each of `COMPLETE` that has its
    id, and with it the overlay's own ids that it refers to; an overlay with other ``class_names`` also changes the
    metadata's ``channel_def``. ``out`` appears whole, or not at all.

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
        ValueError: an overlay is one of `WAYS_TO_RUN`, the weights are no state dict of the network that the packaged
            configuration describes, the configuration refers to ids that it has not, or ``class_names`` is no list of
            names.
    """
    _check_inputs(bundle, out, weights, overlays)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".package-", dir=out.parent) as scratch:
        draft = Path(scratch) / out.name
        for part in PARTS:
            source = bundle / part
            (shutil.copytree if source.is_dir() else _copy_file)(source, draft / part)
        for name in COMPLETE:
            path = draft / "configs" / name
            config = _laid_over(read_json(path), [read_json(bundle / "configs" / overlay) for overlay in overlays])
            _check_references(config, name, overlays)
            path.write_text(json_text(config), encoding="utf-8")
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
    ways = [name for name in overlays if name in WAYS_TO_RUN]
    if ways:
        raise ValueError(
            f"{', '.join(ways)} says how a bundle runs, not what was trained: leave it out of the overlays"
        )
    for path in (weights, *(bundle / "configs" / name for name in overlays)):
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist")


def _copy_file(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _laid_over(config: dict[str, Any], overlays: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A configuration with the values of overlays that it has a place for, and the ids that these values refer to."""
    entries = [entry for overlay in overlays for entry in overlay.items()]
    kept = _reached(set(config), entries)
    parser = ConfigParser(config)
    for key, value in entries:
        target = key.lstrip("+")
        if top_of(key) not in kept:
            continue
        if key.startswith("+") and isinstance(value, list):
            value = [*parser[target], *value]
        elif key.startswith("+"):
            value = {**parser[target], **value}
        parser[target] = value
    merged = parser.get()
    merged.pop("_meta_", None)
    return merged


def _reached(known: set[str], entries: Sequence[tuple[str, Any]]) -> set[str]:
    """Top-level ids that a configuration has, and those that entries bring because kept entries refer to them."""
    brought = {key for key, _ in entries if key == top_of(key)}
    while True:
        values = [value for key, value in entries if top_of(key) in known]
        more = {top_of(name) for name in references_in(values)} & brought
        if more <= known:
            return known
        known = known | more


def _check_references(config: dict[str, Any], name: str, overlays: Sequence[str]) -> None:
    missing = unresolved(config)
    if missing:
        raise ValueError(
            f"{name} with the overlays {', '.join(overlays) or 'none'} refers to {', '.join(missing)}, which nothing "
            "sets: give all overlays of the training, in its order"
        )


def _describe_classes(draft: Path, original: dict[str, Any]) -> None:
    """Name the classes of an overlay in the metadata, from which MONAI Label and MONAI Deploy take them."""
    names = read_json(draft / "configs" / "inference.json").get("class_names")
    if names == original.get("class_names"):
        return
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"class_names must be a list of names, got {names!r}: mend the overlay that sets it")
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
    state: Any = read_state(weights)
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{weights.name} does not fit the network of {bundle.name}: give the state dict of a run of this bundle, "
            f"and the overlays that it was trained with ({str(error)[:300]})"
        ) from error
    return state
