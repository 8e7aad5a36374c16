"""Converted weights as a file with a record of where they come from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

import lvm_med_monai
from lvm_med_monai.networks.weight_names import unwrapped
from lvm_med_monai.networks.weights import read_state
from lvm_med_monai.weights.conversion import convert, with_encoder
from lvm_med_monai.weights.download import file_hash
from lvm_med_monai.whole_file import whole_file

_COUNTER = "num_batches_tracked"


def convert_file(
    source: Path,
    form: str,
    out: Path,
    origin: Mapping[str, Any] | None = None,
    tensors: int | None = None,
    encoder: Path | None = None,
) -> dict[str, Any]:
    """Convert a file of weights and write it with its record; both appear whole or not at all.

    Args:
        source: published file.
        form: one of `conversion.FORMS`.
        out: file of weights to write; the record takes the suffix ``.json``.
        origin: further entries of the record, such as name and licence.
        tensors: number of tensors that the published file has beside batch-norm counters, which some copies lack; None
            for any.
        encoder: for the form ``sam``, a file whose ViT takes the place of SAM's image encoder.

    Returns:
        The record.

    Raises:
        FileNotFoundError: a file is absent.
        ValueError: the file does not fit, has another number of tensors, or would be overwritten.
    """
    if out.resolve() in {path.resolve() for path in (source, encoder) if path is not None}:
        raise ValueError(f"{out.name} is the file to convert: give another --to")
    loaded = read_state(source)
    given = unwrapped(loaded, source.name)
    converted = convert(given, form, source.name)
    counted = sum(not name.endswith(_COUNTER) for name in given)
    if tensors is not None and counted != tensors:
        raise ValueError(
            f"{source.name} holds {counted} tensors beside batch-norm counters, the published file {tensors}: "
            "it is another file"
        )
    files = {"source": source.name, "source_sha256": file_hash(source)}
    if encoder is not None:
        converted = with_encoder(converted, convert(read_state(encoder), "vit_b", encoder.name))
        files |= {"encoder": encoder.name, "encoder_sha256": file_hash(encoder)}
    out.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(out) as partial:
        torch.save(converted.state, partial)
    record = {
        "network": converted.network,
        "settings": converted.settings,
        "tensors": len(converted.state),
        "renamed": len(converted.state.keys() - given.keys()),
        "left_out": converted.left_out,
        "sha256": file_hash(out),
        **files,
        **(origin or {}),
        "versions": {"lvm_med_monai": lvm_med_monai.__version__, "torch": torch.__version__.split("+")[0]},
    }
    with whole_file(out.with_suffix(".json")) as partial:
        partial.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return record
