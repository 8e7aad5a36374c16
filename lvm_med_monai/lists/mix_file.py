"""Mixes as Parquet files."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lvm_med_monai.lists.mix import Mix
from lvm_med_monai.whole_file import whole_file

MIX_SCHEMA = 1
"""Grows with every change of the file that a reader must know of."""
_META = b"lvm_med_monai.mix"
FIELDS = ("slice_id", "group", "copy", "crop_seed")


def write_mix(mix: Mix, path: Path) -> None:
    """Write a list as Parquet, with its settings; half of one is never seen."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    content = {"schema": MIX_SCHEMA, "names": list(mix.names), "settings": dict(mix.settings)}
    table = pa.table(
        {"slice_id": list(mix.slice_ids), "group": mix.groups, "copy": mix.copies, "crop_seed": mix.crop_seeds}
    ).replace_schema_metadata({_META: json.dumps(content).encode()})
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial:
        pq.write_table(table, partial)


def read_mix(path: str | os.PathLike[str]) -> Mix:
    """Read a list.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the file is no list, or of a newer schema.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not Path(path).is_file():
        raise FileNotFoundError(f"no mix {path}; make one with `python -m lvm_med_monai.lists mix SLICES -o {path}`")
    try:
        table = pq.read_table(path, columns=list(FIELDS))
        content = json.loads((table.schema.metadata or {})[_META])
    except (pa.ArrowInvalid, KeyError) as error:
        raise ValueError(
            f"{path} is no mix; make one with `python -m lvm_med_monai.lists mix SLICES -o MIX`"
        ) from error
    if content["schema"] > MIX_SCHEMA:
        raise ValueError(
            f"{path} has schema {content['schema']}, this version reads {MIX_SCHEMA}: update lvm_med_monai"
        )
    groups, copies, seeds = (table[name].to_numpy() for name in FIELDS[1:])
    ids = tuple(table["slice_id"].to_pylist())
    return Mix(ids, groups, copies, seeds, tuple(content["names"]), content["settings"])


def overlay(mix: Path, split: Sequence[str]) -> dict[str, Any]:
    """Configuration that makes the bundle ``lvm_med_pretraining`` take a mix; give it after ``train.json``.

    Args:
        mix: the file.
        split: of the slices that the mix was made from.
    """
    return {
        "mix": str(mix.resolve()),
        "slices": {
            "_target_": "lvm_med_monai.lists.MixedSlices",
            "slices": {
                "_target_": "lvm_med_monai.data.SliceShardDataset",
                "root": "@dataset_dir",
                "where": {"split": list(split)},
            },
            "mix": "@mix",
        },
        "train::sampler": {
            "_target_": "lvm_med_monai.lists.MixBatchSampler",
            "slices": "@slices",
            "batch_size": "@batch_size",
            "seed": "@seed",
        },
    }
