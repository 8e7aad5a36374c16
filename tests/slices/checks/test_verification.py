"""`verify` on an output with one thing wrong at a time."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lvm_med_monai.slices import SlicePolicy, Source, extract, read_manifest, verify
from lvm_med_monai.slices.__main__ import main
from lvm_med_monai.slices.checks.findings import MAX_SPELT_OUT, Findings
from lvm_med_monai.slices.store.manifest import FILES, MANIFEST
from tests.slices.damage import DAMAGE, change, extra_member, flip_pixel
from tests.slices.factories import series


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


def test_whole(whole: Path) -> None:
    result = verify(whole)
    assert (result.files_in, result.files_in_manifest, result.files_in_rejects) == (7, 6, 1)
    assert (result.slices, result.slices_checked, result.shards) == (6, 6, 2)
    assert result.patients == {"test": 1, "train": 1}
    assert (result.ok, result.faults, result.warnings) == (True, (), ())


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
