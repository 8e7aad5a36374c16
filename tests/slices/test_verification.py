"""`verify` on an output with one thing wrong at a time."""

from __future__ import annotations

import io
import json
import re
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lvm_med_monai.slices import SlicePolicy, Source, extract, read_manifest, verify
from lvm_med_monai.slices.__main__ import main
from lvm_med_monai.slices.findings import MAX_SPELT_OUT, Findings
from lvm_med_monai.slices.manifest import FILES, MANIFEST, REJECTS, SCHEMA_VERSION, read_table, write_table
from tests.slices.factories import series

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sources: a series of 5 slices for training, and a picture and a text file for testing."""
    root = tmp_path_factory.mktemp("verification")
    series(root / "ct", 5)
    (root / "pictures").mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 50), dtype=np.uint8)).save(root / "pictures/a.png")
    (root / "pictures" / "notes.txt").write_text("x")
    sources = [Source(root / "ct", "a", split="train"), Source(root / "pictures", "b", split="test")]
    extract(sources, root / "out", SlicePolicy(every_mm=0), root / "key", progress=False)
    return root / "out"


@pytest.fixture
def out(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "out"))


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


def test_whole(whole: Path) -> None:
    result = verify(whole)
    assert (result.files_in, result.files_in_manifest, result.files_in_rejects) == (7, 6, 1)
    assert (result.slices, result.slices_checked, result.shards) == (6, 6, 2)
    assert result.patients == {"test": 1, "train": 1}
    assert (result.ok, result.faults, result.warnings) == (True, (), ())


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


@pytest.mark.parametrize(("damage", "fault"), DAMAGE, ids=[damage.__name__ for damage, _ in DAMAGE])
def test_each_damage_is_named(damage: Callable[[Path], None], fault: str, out: Path) -> None:
    damage(out)
    result = verify(out)
    assert not result.ok
    assert [line for line in result.faults if re.search(fault, line)], result.faults


def test_equal_images_in_two_splits_are_a_warning(out: Path) -> None:
    rows = read_manifest(out).to_pylist()
    digests = {row["split"]: row["sha256_pixels"] for row in rows}
    change(out, MANIFEST, lambda rows: [{**row, "sha256_pixels": digests["test"]} for row in rows])
    result = verify(out)
    assert len(result.warnings) == 1
    assert digests["test"][:12] in result.warnings[0]
    assert "splits test, train" in result.warnings[0]


def test_a_sample_reads_some_pixels_and_all_layouts(out: Path) -> None:
    flip_pixel(out)
    none = verify(out, sample=0)
    assert (none.slices_checked, none.ok) == (0, True)
    assert not verify(out, sample=6).ok
    assert [verify(out, sample=n).ok for n in range(7)] == sorted(verify(out, sample=n).ok for n in range(7))[::-1]
    extra_member(out)
    assert not verify(out, sample=0).ok


@pytest.mark.slow
def test_workers_find_the_same(out: Path) -> None:
    flip_pixel(out)
    extra_member(out)
    assert verify(out, workers=2) == verify(out)


def test_findings_are_bounded() -> None:
    findings = Findings()
    findings.extend(str(i) for i in range(MAX_SPELT_OUT + 5))
    other = Findings()
    other.merge(findings)
    other.add("last")
    assert other.lines() == (*map(str, range(MAX_SPELT_OUT)), "and 6 more")
    assert Findings(["one"], 1).lines() == ("one",)


def test_command(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(out), "--json"]) == 0
    fields = json.loads(capsys.readouterr().out)
    assert (fields["ok"], fields["faults"], fields["slices"]) == (True, [], 6)
    extra_member(out)
    assert main(["verify", str(out), "--sample", "1"]) == 1
    assert "does not know" in capsys.readouterr().out
    assert main(["verify", str(out), "--sample", "-1"]) == 2
    (out / FILES).unlink()
    assert main(["verify", str(out)]) == 2
