"""Weights from files: found whatever wrapper, prefix or published names they carry, loaded exactly or not at all."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from lvm_med_monai.networks.weight_names import State, backbone_names, from_sam, unwrapped, without_prefix

_SPARED = {"conv1.weight": ("fc.",), "patch_embed.proj.weight": ("head.", "neck.", "mask_token")}
"""Parts that files have beyond a backbone, by a tensor of a ResNet or a ViT: dropped where the network has none."""
_COUNTER = "num_batches_tracked"
_POSITIONS = "pos_embed"
_ENCODER = "image_encoder."

Network = TypeVar("Network", bound=nn.Module)
_logger = logging.getLogger(__name__)


def load_backbone(encoder: Network, path: str | Path | None) -> Network:
    """Load backbone weights in place, exactly.

    Takes ResNets under torchvision's names (torchvision's files, LVM-Med's ``lvmmed_resnet.torch``, our own pretraining
    runs), ViTs under SAM's (SAM's and LVM-Med's ``lvmmed_vit.pth``) or timm's, and DINOv2's under its own, timm's or
    Hugging Face's (RAD-DINO); bare, wrapped under ``state_dict``, ``model``, ``net`` or ``teacher``, and with the
    prefixes ``module.``, ``backbone.``, ``image_encoder.`` and ``encoder.``. A classifier, SAM's neck and DINOv2's mask
    token are dropped where ``encoder`` has none, and batch-norm counters may be absent; nothing else may be missing or
    left over.

    Args:
        encoder: network to fill.
        path: file of weights, of `torch.save` or safetensors; None leaves the network as it is, trained from scratch.

    Returns:
        The same network.

    Raises:
        FileNotFoundError: no file at ``path``.
        ValueError: the file holds no state dict, or its names or shapes do not fit ``encoder``.
    """
    if path is None:
        return encoder
    path = Path(path)
    return _fill(encoder, backbone_state(read_state(path), path.name), path.name)


def load_prompted(
    network: Network, sam_weights: str | Path | None, encoder_weights: str | Path | None = None
) -> Network:
    """Load a `PromptedSegmenter` in place, exactly: SAM's weights, and another image encoder where one is given.

    Args:
        network: network to fill.
        sam_weights: SAM's published file, or a file of this very network; None leaves prompt encoder and decoder as
            they are.
        encoder_weights: file for the image encoder alone, such as LVM-Med's ViT-B; with it the image encoder in
            ``sam_weights`` is not looked at.

    Returns:
        The same network.

    Raises:
        FileNotFoundError: a file is absent.
        ValueError: a file holds no state dict, or its names or shapes do not fit.
    """
    if encoder_weights is not None:
        load_backbone(network.get_submodule("image_encoder"), encoder_weights)
    if sam_weights is None:
        return network
    path = Path(sam_weights)
    state = from_sam(without_prefix(unwrapped(read_state(path), path.name), "module."))
    if encoder_weights is not None:
        kept = network.state_dict()
        own = {key: value for key, value in kept.items() if key.startswith(_ENCODER)}
        state = {**{key: value for key, value in state.items() if not key.startswith(_ENCODER)}, **own}
    return _fill(network, state, path.name)


def read_state(path: str | Path) -> object:
    """What a file of weights holds, tensors and plain values only.

    Raises:
        FileNotFoundError: no file at ``path``.
        ValueError: the file is no file of weights, or holds pickled objects.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}: give a file, or null to train from scratch")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        how = "safetensors" if path.suffix == ".safetensors" else "torch.load with weights_only"
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(
            f"{path.name} cannot be read as weights alone ({how}): {reason}; get the file again, or convert it by "
            "python -m lvm_med_monai.weights"
        ) from error


def backbone_state(loaded: object, name: str) -> State:
    """The bare state dict of the backbone inside a loaded file, under the names of this package's encoders.

    Raises:
        ValueError: ``loaded`` holds no dictionary of tensors.
    """
    return backbone_names(unwrapped(loaded, name))


def mismatches(wanted: Mapping[str, torch.Tensor], found: Mapping[str, torch.Tensor]) -> list[str]:
    """One sentence for each way in which two state dicts differ in names and shapes; none if they agree.

    Batch-norm counters may be missing.
    """
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
    if any(key.endswith(_POSITIONS) for key in unknown):
        problems.append(
            "build the ViT with absolute_positions, or drop them by python -m lvm_med_monai.weights convert --as vit_b"
        )
    return problems


def spared(wanted: Mapping[str, torch.Tensor], found: Mapping[str, torch.Tensor]) -> State:
    """``found`` without the parts beyond a backbone that ``wanted`` has nothing of."""
    parts = [part for sign, extras in _SPARED.items() if sign in wanted for part in extras]
    dropped = tuple(part for part in parts if not any(key.startswith(part) for key in wanted))
    return {key: value for key, value in found.items() if not key.startswith(dropped)}


def _fill(network: Network, state: Mapping[str, torch.Tensor], name: str) -> Network:
    """Load a state dict or raise, leaving the network as it is."""
    wanted = network.state_dict()
    state = spared(wanted, state)
    problems = mismatches(wanted, state)
    if problems:
        raise ValueError(f"the weights in {name} do not fit {type(network).__name__}: " + "; ".join(problems))
    network.load_state_dict(state, strict=False)
    _logger.info("loaded %d tensors from %s into %s", len(state), name, type(network).__name__)
    return network
