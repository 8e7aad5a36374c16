"""Is every byte of a shard what the manifest says, and nothing else?"""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Container, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvm_med_monai.slices.checks.findings import Findings
from lvm_med_monai.slices.store.shards import pixel_digest, read_stored

if TYPE_CHECKING:
    import pyarrow

SIDECAR = ".json"
CHUNK = 1 << 20


def check_shard(root: Path, shard: str, rows: pyarrow.Table, wanted: Container[str] | None = None) -> Findings:
    """Compare a shard with its rows of the manifest.

    Every member must be the image of one row, at that row's offset and of its length, or the JSON file of one, which
    must repeat the row; what lies between and behind the members must be zeros.

    Args:
        root: folder of the manifest.
        shard: path of the shard below it.
        rows: rows of the manifest that name the shard; may be none.
        wanted: ``slice_id`` of the slices whose pixels are decoded and hashed; None hashes all.

    Returns:
        What is wrong.
    """
    findings = Findings()
    by_id = {row["slice_id"]: row for row in rows.to_pylist()}
    findings.extend(_structure_faults(root / shard, shard, by_id))
    for row in by_id.values():
        if wanted is None or row["slice_id"] in wanted:
            findings.extend(_pixel_faults(root, row))
    return findings


def _pixel_faults(root: Path, row: dict[str, Any]) -> Iterator[str]:
    try:
        pixels = read_stored(root, row)
        if str(pixels.dtype) != row["dtype"]:
            yield f"slice {row['slice_id']} has {pixels.dtype} pixels, the manifest says {row['dtype']}"
        if pixel_digest(pixels) != row["sha256_pixels"]:
            yield f"slice {row['slice_id']} has other pixels than when it was written"
    except (OSError, ValueError) as error:
        yield str(error)


def _structure_faults(path: Path, shard: str, rows: dict[str, dict[str, Any]]) -> Iterator[str]:
    images: set[str] = set()
    sidecars: set[str] = set()
    end = 0
    try:
        with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as archive:
            for member in archive:
                yield from _gap_faults(file.fileno(), end, member.offset, shard)
                end = member.offset_data + member.size
                yield from _member_faults(file.fileno(), member, shard, rows)
                key, suffix = os.path.splitext(member.name)
                (sidecars if suffix == SIDECAR else images).add(key)
            yield from _gap_faults(file.fileno(), end, path.stat().st_size, shard)
    except FileNotFoundError:
        yield f"shard {shard} is missing"
    except (OSError, tarfile.TarError) as error:
        yield f"shard {shard} is no tar archive any more ({type(error).__name__})"
    yield from (f"slice {key} has no image in {shard}" for key in sorted(rows.keys() - images))
    yield from (f"slice {key} has no JSON file in {shard}" for key in sorted(rows.keys() - sidecars))


def _gap_faults(descriptor: int, start: int, stop: int, shard: str) -> Iterator[str]:
    """A fault if bytes between members are not zero; members of zero length and the end of the archive included."""
    for begin in range(start, stop, CHUNK):
        if os.pread(descriptor, min(CHUNK, stop - begin), begin).strip(b"\0"):
            yield f"shard {shard} holds bytes from {begin} that belong to no slice"
            return


def _member_faults(
    descriptor: int, member: tarfile.TarInfo, shard: str, rows: dict[str, dict[str, Any]]
) -> Iterator[str]:
    key, suffix = os.path.splitext(member.name)
    row = rows.get(key)
    if row is None:
        yield f"shard {shard} holds a member at {member.offset} that the manifest does not know"
    elif suffix == SIDECAR:
        if not _repeats(os.pread(descriptor, member.size, member.offset_data), row):
            yield f"the JSON file of slice {key} in {shard} says something else than the manifest"
    elif (member.offset_data, member.size) != (row["offset"], row["nbytes"]):
        yield f"slice {key} is not where the manifest says in {shard}"


def _repeats(sidecar: bytes, row: dict[str, Any]) -> bool:
    try:
        fields = json.loads(sidecar)
    except ValueError:
        return False
    return isinstance(fields, dict) and all(name in row and row[name] == value for name, value in fields.items())
