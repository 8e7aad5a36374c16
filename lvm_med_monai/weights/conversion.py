"""Published state dicts as state dicts of this package's networks, complete or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import nn

from lvm_med_monai.networks import DinoViTEncoder, PromptedSegmenter, ResNetEncoder, ViTEncoder
from lvm_med_monai.networks.weight_names import State, backbone_names, from_sam, unwrapped, without_prefix
from lvm_med_monai.networks.weights import mismatches, spared

_POSITIONS = "pos_embed"
_NECK = "neck."
_SAM_POSITIONS = "image_encoder.pos_embed"


@dataclass(frozen=True)
class Converted:
    """A state dict that fits a network of this package exactly.

    Attributes:
        network: class of the network.
        state: its tensors, contiguous.
        left_out: names of the given tensors that the network has no place for, by design of the form.
        settings: arguments that the network needs beside its defaults.
    """

    network: str
    state: State
    left_out: list[str]
    settings: dict[str, bool | int] = field(default_factory=dict)


def convert(loaded: object, form: str, name: str) -> Converted:
    """Bring a loaded file to a form.

    * ``resnet50``: `ResNetEncoder`; a classifier is left out.
    * ``vit_b``: `ViTEncoder` as LVM-Med publishes it: a table of absolute positions, which SAM has, is left out, as
      LVM-Med did to begin its training; a neck stays if there is one.
    * ``rad_dino``: `DinoViTEncoder`; a mask token is left out.
    * ``sam``: the whole `PromptedSegmenter`, with absolute positions if the file has them.

    Args:
        loaded: what the file holds.
        form: one of `FORMS`.
        name: of the file, for messages.

    Raises:
        ValueError: the form is unknown, or names or shapes do not fit it; the message names tensors.
    """
    if form not in FORMS:
        raise ValueError(f"no form {form!r}: choose one of {', '.join(FORMS)}")
    return FORMS[form](unwrapped(loaded, name), name)


def _fitted(
    network: Callable[[], nn.Module], state: Mapping[str, torch.Tensor], name: str, settings: dict[str, bool | int]
) -> Converted:
    with torch.device("meta"):
        empty = network()
    wanted = empty.state_dict()
    kept = spared(wanted, state)
    problems = mismatches(wanted, kept)
    if problems:
        raise ValueError(f"{name} does not fit {type(empty).__name__}: " + "; ".join(problems))
    tensors = {key: value.detach().clone().contiguous() for key, value in kept.items()}
    return Converted(type(empty).__name__, tensors, sorted(state.keys() - kept.keys()), settings)


def _resnet50(state: State, name: str) -> Converted:
    return _fitted(ResNetEncoder, backbone_names(state), name, {})


def _vit_b(state: State, name: str) -> Converted:
    named = backbone_names(state)
    neck = 256 if any(key.startswith(_NECK) for key in named) else None
    without = {key: value for key, value in named.items() if key != _POSITIONS}
    settings: dict[str, bool | int] = {} if neck is None else {"neck": neck}
    converted = _fitted(lambda: ViTEncoder(neck=neck), without, name, settings)
    left_out = sorted({*converted.left_out, *(named.keys() - without.keys())})
    return Converted(converted.network, converted.state, left_out, settings)


def _rad_dino(state: State, name: str) -> Converted:
    return _fitted(DinoViTEncoder, backbone_names(state), name, {})


def _sam(state: State, name: str) -> Converted:
    named = from_sam(without_prefix(state, "module."))
    absolute = _SAM_POSITIONS in named
    return _fitted(
        lambda: PromptedSegmenter(absolute_positions=absolute), named, name, {"absolute_positions": absolute}
    )


FORMS: dict[str, Callable[[State, str], Converted]] = {
    "resnet50": _resnet50,
    "vit_b": _vit_b,
    "rad_dino": _rad_dino,
    "sam": _sam,
}
"""What a file can be converted to."""


def with_encoder(sam: Converted, encoder: Converted) -> Converted:
    """SAM's prompt encoder and decoder with another image encoder, such as LVM-Med's.

    Raises:
        ValueError: the encoder has no neck, which the decoder needs.
    """
    if "neck" not in encoder.settings:
        raise ValueError("the encoder has no neck, which SAM's decoder needs: take a file of LVM-Med or SAM")
    rest = {key: value for key, value in sam.state.items() if not key.startswith("image_encoder.")}
    own = {f"image_encoder.{key}": value for key, value in encoder.state.items()}
    return Converted(
        sam.network, {**own, **rest}, sorted({*sam.left_out, *encoder.left_out}), {"absolute_positions": False}
    )
