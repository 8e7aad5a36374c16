"""Ways to damage an output of `extract`, and the fault that `verify` must name."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lvm_med_monai.slices import read_manifest
from lvm_med_monai.slices.store.manifest import FILES, MANIFEST, REJECTS, SCHEMA_VERSION, read_table, write_table

Rows = list[dict[str, Any]]


def parts_of(out: Path) -> list[Path]:
    return sorted(path for path in (out / "parts").iterdir() if path.is_dir())


def change(out: Path, table: str, edit: Callable[[Rows], Rows | None], parts: bool = True) -> None:
    """Rewrite a merged table, and the parts' tables so that they agree with it."""
    rows = read_table(out, table).to_pylist()
    edited = edit(rows)
    rows = rows if edited is None else edited
    write_table(out, table, rows)
    if parts:
        first, *others = parts_of(out)
        write_table(first, table, rows)
        for other in others:
            write_table(other, table, [])


def shard_of(out: Path, index: int = 0) -> tuple[Path, dict[str, Any]]:
    row = read_manifest(out).to_pylist()[index]
    return out / row["shard"], row


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def flip_pixel(out: Path) -> None:
    shard, row = shard_of(out, 2)
    overwrite(shard, row["offset"] + row["nbytes"] // 2, b"\xff\xfe\xfd")


def wrong_digest(out: Path) -> None:
    change(out, MANIFEST, lambda rows: rows[0].update(sha256_pixels="0" * 64))


def wrong_dtype(out: Path) -> None:
    change(out, MANIFEST, lambda rows: rows[0].update(dtype="uint8" if rows[0]["dtype"] == "uint16" else "uint16"))


def wrong_offset(out: Path) -> None:
    change(out, MANIFEST, lambda rows: rows[0].update(offset=rows[0]["offset"] + 512))


def wrong_sidecar(out: Path) -> None:
    shard, row = shard_of(out)
    data = shard.read_bytes()
    name = f'"modality":"{row["modality"]}"'.encode()
    assert name in data
    shard.write_bytes(data.replace(name, name[:-2] + b'?"', 1))


def broken_sidecar(out: Path) -> None:
    shard, row = shard_of(out)
    overwrite(shard, row["offset"] + -(-row["nbytes"] // 512) * 512 + 512, b"[")


def append_member(shard: Path, name: str, data: bytes) -> None:
    with tarfile.open(shard, "a", format=tarfile.USTAR_FORMAT) as archive:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))


def extra_member(out: Path) -> None:
    append_member(shard_of(out)[0], "stranger.png", b"bytes")


def second_image(out: Path) -> None:
    shard, row = shard_of(out)
    append_member(shard, f"{row['slice_id']}.jxl", b"bytes")


def tail(out: Path) -> None:
    with shard_of(out)[0].open("ab") as file:
        file.write(bytes(512) + b"secret")


def padding(out: Path) -> None:
    shard, row = next((s, r) for i in range(6) for s, r in [shard_of(out, i)] if r["nbytes"] % 512)
    overwrite(shard, row["offset"] + row["nbytes"], b"x")


def extra_shard(out: Path) -> None:
    shard, _ = shard_of(out)
    shutil.copy(shard, shard.with_name("slices-00009.tar"))


def lost_shard(out: Path) -> None:
    shard_of(out)[0].unlink()


def cut_shard(out: Path) -> None:
    shard, row = shard_of(out, 3)
    with shard.open("r+b") as file:
        file.truncate(row["offset"] + 10)


def no_tar(out: Path) -> None:
    shard_of(out)[0].write_bytes(b"\x01" * 2048)


def twice_in_manifest(out: Path) -> None:
    change(out, MANIFEST, lambda rows: [*rows, rows[0]])


def lost_row(out: Path) -> None:
    change(out, MANIFEST, lambda rows: rows[1:])


def in_both_tables(out: Path) -> None:
    row = read_manifest(out).to_pylist()[0]
    common = {"schema_version": SCHEMA_VERSION, "dataset": "a", "source_h": row["source_h"]}
    change(out, REJECTS, lambda rows: [*rows, {**common, "reason": "corrupt", "detail": ""}])


def in_no_table(out: Path) -> None:
    change(out, REJECTS, lambda rows: [row for row in rows if row["reason"] != "unrecognised"])


def forgotten_file(out: Path) -> None:
    change(out, FILES, lambda rows: [row for row in rows if row["outcome"] != "rejects"])


def forgotten_image_file(out: Path) -> None:
    change(out, FILES, lambda rows: rows[1:])


def file_twice(out: Path) -> None:
    change(out, FILES, lambda rows: [*rows, rows[0]])


def wrong_outcome(out: Path) -> None:
    change(out, FILES, lambda rows: [{**row, "outcome": "manifest"} for row in rows])


def patient_in_two_splits(out: Path) -> None:
    patient = read_manifest(out).to_pylist()[0]["patient_h"]
    change(out, MANIFEST, lambda rows: [{**row, "patient_h": patient} for row in rows])


def study_in_two_splits(out: Path) -> None:
    study = read_manifest(out).to_pylist()[0]["study_h"]
    change(out, MANIFEST, lambda rows: [{**row, "study_h": study} for row in rows])


def unfinished_part(out: Path) -> None:
    part = parts_of(out)[0]
    shutil.copytree(part, part.with_name(f".{part.name}.partial"))


def lost_settings(out: Path) -> None:
    (parts_of(out)[0] / "settings.json").unlink()


def broken_part_table(out: Path) -> None:
    (parts_of(out)[0] / MANIFEST).write_bytes(b"PAR1")


def lost_part(out: Path) -> None:
    shutil.rmtree(parts_of(out)[0])


def stale_merge(out: Path) -> None:
    change(out, FILES, lambda rows: [*rows, {**rows[0], "source_h": "f" * 24}], parts=False)


def missing_part_of_source(out: Path) -> None:
    path = parts_of(out)[0].parent / f"{parts_of(out)[0].name[:16]}.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "fingerprints": [*record["fingerprints"], "0" * 64]}))


def no_declaration(out: Path) -> None:
    for path in (out / "parts").glob("*.json"):
        path.unlink()


def broken_declaration(out: Path) -> None:
    next((out / "parts").glob("*.json")).write_text("{")


DAMAGE: list[tuple[Callable[[Path], None], str]] = [
    (flip_pixel, "manifest|other pixels"),
    (wrong_digest, "has other pixels than when it was written"),
    (wrong_dtype, "pixels .*of uint|pixels, the manifest says"),
    (wrong_offset, "is not where the manifest says"),
    (wrong_sidecar, "says something else than the manifest"),
    (broken_sidecar, "says something else than the manifest"),
    (extra_member, "that the manifest does not know"),
    (second_image, "is not where the manifest says"),
    (tail, "belong to no slice"),
    (padding, "belong to no slice"),
    (extra_shard, "that the manifest does not know"),
    (lost_shard, "shard .* is missing"),
    (cut_shard, "no tar archive any more|has no image"),
    (no_tar, "is no tar archive any more"),
    (twice_in_manifest, "occurs 2 times"),
    (lost_row, "that the manifest does not know"),
    (in_both_tables, "does not end in exactly one"),
    (in_no_table, "does not end in exactly one"),
    (forgotten_file, "is in rejects but is no input"),
    (forgotten_image_file, "is in the manifest but is no input"),
    (file_twice, "occurs 2 times"),
    (wrong_outcome, "does not end in exactly one"),
    (patient_in_two_splits, "patient .* is in splits test, train"),
    (study_in_two_splits, "study .* is in splits test, train"),
    (unfinished_part, "is unfinished"),
    (lost_settings, "is missing or out of date"),
    (broken_part_table, "is incomplete"),
    (lost_part, "rows, its parts have"),
    (stale_merge, "files.parquet has 8 rows, its parts have 7"),
    (missing_part_of_source, "part [0-9a-f]{16}-00001 is missing"),
    (no_declaration, "nothing says which parts"),
    (broken_declaration, r"cannot be read \(JSONDecodeError\)"),
]
