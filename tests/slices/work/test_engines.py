"""The same output from any number of workers and ranks; a file that kills its reader costs itself alone."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from lvm_med_monai.slices import SlicePolicy, Source, extract, read_manifest, read_rejects, verify
from lvm_med_monai.slices.splits import Splits
from lvm_med_monai.slices.work import extraction, units
from lvm_med_monai.slices.work.lock import LOCK, locked
from lvm_med_monai.slices.work.merging import merge
from lvm_med_monai.slices.work.part_extraction import PARTS, StalePlanError, extract_part
from lvm_med_monai.slices.work.plan import make_plan
from lvm_med_monai.slices.work.settings import WorkLimits
from tests.slices.factories import dicom_slice, save, series
from tests.slices.worker_faults import faulty

ALL = SlicePolicy(every_mm=0)
FAULTS = {"segfault": "crashed", "hang": "timeout", "memory": "memory", "bug": "crashed"}


def picture(path: Path, seed: int) -> None:
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (40, 44), dtype=np.uint8)).save(path, format="PNG")


@pytest.fixture
def inputs(tmp_path: Path) -> list[Source]:
    """Two sources of about nine units each, of all kinds."""
    for root in (tmp_path / "one", tmp_path / "two"):
        for number in range(3):
            uid = f"1.2.{len(root.name)}.{ord(root.name[0])}.{number}"
            own = {"SeriesInstanceUID": uid, "StudyInstanceUID": uid, "PatientID": uid}
            series(root / f"ct{number}", 3, lambda i, own=own: own)
        for number in range(3):
            picture(root / f"{number}.png", number)
        volume = np.random.default_rng(1).normal(100, 30, (33, 34, 5)).astype(np.int16)
        nibabel.save(nibabel.Nifti1Image(volume, np.diag([1.0, 1, 2, 1])), root / "volume.nii.gz")
        (root / "notes.txt").write_text("x")
    shutil.make_archive(str(tmp_path / "two" / "packed"), "zip", tmp_path / "two" / "ct0")
    return [Source(tmp_path / "one", "a"), Source(tmp_path / "two", "b", split="train")]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "MIN_PART_BYTES", 4 * units.FILE_BYTES)
    monkeypatch.setattr(units, "MAX_PART_BYTES", 4 * units.FILE_BYTES)


def run(sources: object, tmp_path: Path, out: str, **options: object) -> extraction.Summary:
    splits = Splits({"train": 0.5, "test": 0.5})
    return extract(sources, tmp_path / out, ALL, tmp_path / "key", progress=False, splits=splits, **options)


def content(out: Path) -> dict[Path, bytes]:
    return {path.relative_to(out): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


@pytest.mark.slow
def test_workers_and_ranks_give_the_same_bytes(inputs: list[Source], tmp_path: Path) -> None:
    alone = run(inputs, tmp_path, "workers0", workers=0)
    assert alone.parts_done >= 6
    assert verify(tmp_path / "workers0").ok
    expected = content(tmp_path / "workers0")
    for workers in (1, 2, 4):
        summary = run(inputs, tmp_path, f"workers{workers}", workers=workers)
        assert summary == alone
        assert content(tmp_path / f"workers{workers}") == expected
    plan = make_plan(inputs)
    for world_size in (2, 3):
        out = tmp_path / f"world{world_size}"
        parts = 0
        for rank in reversed(range(world_size)):
            parts += run(plan, tmp_path, out.name, rank=rank, world_size=world_size).parts_done
            assert not (out / "manifest.parquet").exists()
        merged = merge(out)
        assert parts == alone.parts_done
        assert (merged.slices, merged.rejected) == (alone.slices, alone.rejected)
        assert content(out) == expected


def test_slices_of_a_split_are_of_its_patients(inputs: list[Source], tmp_path: Path) -> None:
    run(inputs, tmp_path, "out")
    rows = read_manifest(tmp_path / "out").to_pylist()
    assert {row["split"] for row in rows if row["dataset"] == "b"} == {"train"}
    splits = {(row["patient_h"], row["split"]) for row in rows if row["dataset"] == "a"}
    assert len(splits) == len({patient for patient, _ in splits}) == 3 + 3 + 1
    assert {split for _, split in splits} == {"train", "test"}


@pytest.mark.slow
def test_a_fault_costs_its_unit_alone(
    inputs: list[Source], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run(inputs, tmp_path, "sound")
    for name in FAULTS:
        picture(tmp_path / "one" / f"{name}.png", 7)
        picture(tmp_path / "one" / f"{name}-2.png", 8)
    monkeypatch.setattr(
        extraction,
        "run_jobs",
        functools.partial(extraction.run_jobs, work=functools.partial(extract_part, read_unit=faulty)),
    )
    limits = WorkLimits(seconds=6)
    summary = run(inputs, tmp_path, "out", workers=2, limits=limits)
    assert summary.units_failed == 2 * len(FAULTS)
    rejects = read_rejects(tmp_path / "out").to_pylist()
    found = sorted(row["reason"] for row in rejects if row["reason"] in ("crashed", "timeout", "memory"))
    assert found == sorted(2 * list(FAULTS.values()))
    details = {row["detail"] for row in rejects}
    assert any("SIGSEGV" in detail for detail in details)
    assert any("(KeyError)" in detail for detail in details)
    assert not any("CANARY" in detail for detail in details)
    assert "CANARY" not in "".join(capfd.readouterr())
    assert verify(tmp_path / "out").ok
    ids = [{row["slice_id"] for row in read_manifest(tmp_path / out).to_pylist()} for out in ("out", "sound")]
    assert ids[0] == ids[1]
    assert not [
        path for path in (tmp_path / "out" / PARTS).iterdir() if path.name.startswith(".") and path.name != LOCK
    ]
    again = run(inputs, tmp_path, "out", workers=2, limits=limits)
    assert (again.parts_done, again.units_failed) == (0, summary.units_failed)


def test_other_limits_try_failed_units_again(
    inputs: list[Source], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture(tmp_path / "one" / "memory.png", 7)
    with monkeypatch.context() as patch:
        patch.setattr(
            extraction,
            "run_jobs",
            functools.partial(extraction.run_jobs, work=functools.partial(extract_part, read_unit=faulty)),
        )
        assert run(inputs, tmp_path, "out").units_failed == 1
        assert run(inputs, tmp_path, "out").parts_done == 0
    summary = run(inputs, tmp_path, "out", limits=WorkLimits(memory=7 << 30))
    assert (summary.parts_done, summary.units_failed) == (1, 0)
    assert verify(tmp_path / "out").ok


def test_units_without_workers_fail_alone_too(
    inputs: list[Source], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture(tmp_path / "one" / "memory.png", 7)
    picture(tmp_path / "one" / "bug.png", 7)
    monkeypatch.setattr(
        extraction,
        "run_jobs",
        functools.partial(extraction.run_jobs, work=functools.partial(extract_part, read_unit=faulty)),
    )
    assert run(inputs, tmp_path, "out").units_failed == 2


@pytest.mark.parametrize("workers", [0, 1])
def test_a_full_disk_ends_the_run(
    inputs: list[Source], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    picture(tmp_path / "one" / "disk.png", 7)
    monkeypatch.setattr(
        extraction,
        "run_jobs",
        functools.partial(extraction.run_jobs, work=functools.partial(extract_part, read_unit=faulty)),
    )
    with pytest.raises(OSError, match="No space left"):
        run(inputs, tmp_path, "out", workers=workers)
    assert not (tmp_path / "out" / "manifest.parquet").exists()


def test_a_volume_that_exceeds_the_memory(tmp_path: Path) -> None:
    header = nibabel.Nifti1Header()
    header.set_data_shape((1024, 1024, 1536))
    header.set_data_dtype(np.int16)
    path = tmp_path / "in" / "large.nii"
    path.parent.mkdir()
    with path.open("wb") as file:
        header.set_data_offset(352)
        header.write_to(file)
        file.truncate(352 + 2 * 1024 * 1024 * 1536)  # a sparse file takes no space
    picture(tmp_path / "in" / "0.png", 0)
    summary = run([tmp_path / "in"], tmp_path, "out", workers=1, limits=WorkLimits(memory=1 << 30))
    assert summary.rejected == {"memory": 1}
    assert (summary.slices, summary.units_failed) == (1, 1)


def test_workers_that_cannot_start(inputs: list[Source], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lvm_med_monai.slices.work import local_engine

    monkeypatch.setattr(local_engine.sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match="workers die when they start"):
        run(inputs, tmp_path, "out", workers=1)


def test_changed_and_new_files_redo_their_parts(inputs: list[Source], tmp_path: Path) -> None:
    first = run(inputs, tmp_path, "out")
    picture(tmp_path / "one" / "0.png", 99)
    second = run(inputs, tmp_path, "out")
    assert (second.parts_done, second.parts_skipped) == (1, first.parts_done - 1)
    assert (second.sources_done, second.sources_skipped) == (1, 1)
    picture(tmp_path / "two" / "zz.png", 5)
    third = run(inputs, tmp_path, "out")
    assert (third.parts_done, third.slices) == (1, first.slices + 1)
    assert verify(tmp_path / "out").ok
    for name in ("ct0", "ct1", "ct2"):
        shutil.rmtree(tmp_path / "one" / name)
    run(inputs, tmp_path, "out")
    run(inputs, tmp_path, "fresh")
    assert content(tmp_path / "out") == content(tmp_path / "fresh")


def test_without_resume_all_is_done_again(inputs: list[Source], tmp_path: Path) -> None:
    first = run(inputs, tmp_path, "out")
    before = content(tmp_path / "out")
    again = run(inputs, tmp_path, "out", resume=False)
    assert again.parts_done == first.parts_done
    assert content(tmp_path / "out") == before


def test_a_plan_whose_files_changed(inputs: list[Source], tmp_path: Path) -> None:
    plan = make_plan(inputs)
    picture(tmp_path / "one" / "0.png", 99)
    for workers in (0, 1):
        with pytest.raises(StalePlanError, match="run `scan` again"):
            run(plan, tmp_path, "out", workers=workers)
    (tmp_path / "one" / "0.png").unlink()
    with pytest.raises(StalePlanError, match="run `scan` again"):
        run(plan, tmp_path, "out")


def test_merge_names_what_is_missing(inputs: list[Source], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no parts"):
        merge(tmp_path / "out")
    run(inputs, tmp_path, "out", rank=1, world_size=3)
    with pytest.raises(ValueError, match=r"parts are missing: \w+-00000") as error:
        merge(tmp_path / "out")
    folders = {path.name for path in (tmp_path / "out" / PARTS).iterdir() if path.is_dir()}
    assert not [name for name in folders if name in str(error.value)]


def test_two_extractions_at_once(inputs: list[Source], tmp_path: Path) -> None:
    (tmp_path / "out" / PARTS).mkdir(parents=True)
    with locked(tmp_path / "out" / PARTS, 1, 2):
        with pytest.raises(ValueError, match="another extraction is at work"):
            run(inputs, tmp_path, "out")
        with pytest.raises(ValueError, match="another extraction is at work"):
            run(inputs, tmp_path, "out", rank=1, world_size=2)
        with pytest.raises(ValueError, match="another extraction is at work"):
            merge(tmp_path / "out")
        run(inputs, tmp_path, "out", rank=0, world_size=2)
    run(inputs, tmp_path, "out", rank=1, world_size=2)
    assert merge(tmp_path / "out").slices > 0


def test_a_rank_outside_of_the_world(inputs: list[Source], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="rank must be in"):
        run(inputs, tmp_path, "out", rank=2, world_size=2)


def test_files_without_a_patient_are_counted(tmp_path: Path) -> None:
    for name in ("sub-1/a.png", "sub-1/b.png", "other/c.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        picture(tmp_path / "in" / name, len(name))
    save(dicom_slice(0), tmp_path / "in" / "other" / "has-an-id.dcm")
    summary = run([Source(tmp_path / "in", patient="(sub-[0-9]+)/")], tmp_path, "out")
    assert summary.patients_unmatched == 1
    assert len({row["patient_h"] for row in read_manifest(tmp_path / "out").to_pylist()}) == 3
