"""Names under which backbones are published, brought to the names of this package's encoders.

A state dict is a mapping of names to tensors. Nothing is guessed: each function knows one form, tells whether a state
dict has it, and gives back every tensor that it was given, but for those that it says it leaves out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch

State = dict[str, torch.Tensor]

WRAPPERS = ("state_dict", "model", "net", "teacher", "encoder")
"""Keys under which files hold their state dict."""
PREFIXES = ("module.", "backbone.", "image_encoder.", "encoder.")
"""Beginnings of names, outermost first; tensors without one that others have belong to other parts of a network."""
_SAM_MLP = re.compile(r"(\bblocks\.\d+\.mlp)\.lin([12])\b")
_HUGGING_FACE = "embeddings.patch_embeddings.projection.weight"
_HUGGING_FACE_NAMES = {
    "embeddings.cls_token": "cls_token",
    "embeddings.mask_token": "mask_token",
    "embeddings.position_embeddings": "pos_embed",
    "embeddings.patch_embeddings.projection": "patch_embed.proj",
    "layernorm": "norm",
    "attention.output.dense": "attn.proj",
    "layer_scale1.lambda1": "ls1.gamma",
    "layer_scale2.lambda1": "ls2.gamma",
}
_HUGGING_FACE_LAYER = re.compile(r"encoder\.layer\.(\d+)\.(.+)")
_QUERY_KEY_VALUE = ("query", "key", "value")


def unwrapped(loaded: object, name: str) -> State:
    """The state dict inside a loaded file, whatever it is wrapped in.

    Args:
        loaded: what `torch.load` gave.
        name: of the file, for messages.

    Raises:
        ValueError: ``loaded`` holds no dictionary of tensors.
    """
    for wrapper in WRAPPERS:
        if isinstance(loaded, dict) and isinstance(loaded.get(wrapper), dict):
            loaded = loaded[wrapper]
    if not isinstance(loaded, dict) or not loaded or not all(isinstance(v, torch.Tensor) for v in loaded.values()):
        raise ValueError(f"{name} holds no state dict of tensors: expected names such as conv1.weight")
    return dict(loaded)


def backbone_names(state: Mapping[str, torch.Tensor]) -> State:
    """The backbone of a state dict under the names of this package's encoders.

    Prefixes go, and with them the other parts of a network; then SAM's and Hugging Face's names are translated.
    """
    state = without_prefix(state, "module.")
    if any(key.endswith(_HUGGING_FACE) for key in state):
        return from_hugging_face(state)
    for prefix in PREFIXES:
        state = without_prefix(state, prefix)
    return from_sam(state)


def without_prefix(state: Mapping[str, torch.Tensor], prefix: str) -> State:
    """Tensors whose names begin with a prefix, without it; all of them if none does."""
    if not any(key.startswith(prefix) for key in state):
        return dict(state)
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def from_sam(state: Mapping[str, torch.Tensor]) -> State:
    """SAM's and LVM-Med's names of a ViT's blocks, ``mlp.lin1``, as timm's, ``mlp.fc1``; the decoder's stay."""
    return {_SAM_MLP.sub(r"\1.fc\2", key): value for key, value in state.items()}


def from_hugging_face(state: Mapping[str, torch.Tensor]) -> State:
    """The names of ``Dinov2Model`` in transformers, in which RAD-DINO is published, as timm's.

    Query, key and value become one tensor. A layer of which one is missing keeps the others under their own names, so
    that loading reports them.
    """
    start = next(key for key in state if key.endswith(_HUGGING_FACE)).removesuffix(_HUGGING_FACE)
    renamed: State = {}
    for key, value in without_prefix(state, start).items():
        renamed[_hugging_face_name(key)] = value
    for key in [key for key in renamed if ".attention.attention.query." in key]:
        parts = [key.replace("query", part) for part in _QUERY_KEY_VALUE]
        if all(part in renamed for part in parts):
            joined = torch.cat([renamed.pop(part) for part in parts])
            renamed[key.replace("attention.attention.query", "attn.qkv")] = joined
    return renamed


def _hugging_face_name(key: str) -> str:
    layer = _HUGGING_FACE_LAYER.fullmatch(key)
    begin, rest = (f"blocks.{layer[1]}.", layer[2]) if layer else ("", key)
    for theirs, ours in _HUGGING_FACE_NAMES.items():
        if rest == theirs or rest.startswith(f"{theirs}."):
            return begin + ours + rest.removeprefix(theirs)
    return begin + rest
