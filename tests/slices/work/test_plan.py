from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from lvm_med_monai.slices import SlicePolicy, Source, extract, read_manifest
from lvm_med_monai.slices.inputs import inspection
from lvm_med_monai.slices.work import plan as plans, units
from lvm_med_monai.slices.work.plan import PLAN_FIELDS, Plan, make_plan, read_plan, write_plan
from lvm_med_monai.slices.work.units import FILE_BYTES, MAX_PART_BYTES, MIN_PART_BYTES, PlannedFile, Unit, part_bytes
from tests.slices.factories import dicom_slice, save, series

MIB = 1 << 20


def grey(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 44), dtype=np.uint8)).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with a unit of every kind."""
    root = tmp_path / "in"
    for uid in ("1.1", "1.2"):  # two series in one folder, interleaved by name
        series(root / "mixed", 2, lambda i, uid=uid: {"SeriesInstanceUID": uid}, prefix="x" + uid[-1])
    series(root / "unnamed", 2, lambda i: {"SeriesInstanceUID": None})
    save(dicom_slice(9, SeriesInstanceUID="1.1"), root / "elsewhere" / "a.dcm")
    (root / "mixed" / "cut.dcm").write_bytes((root / "elsewhere" / "a.dcm").read_bytes()[:-100])
    header = "ObjectType = Image\nNDims = 2\nDimSize = 40 40\nElementType = MET_UCHAR\nElementDataFile = {}\n"
    (root / "a.mhd").write_text(header.format("shared.raw"))
    (root / "b.mhd").write_text(header.format("shared.raw"))
    (root / "c.mhd").write_text(header.format("absent.raw"))
    (root / "shared.raw").write_bytes(bytes(range(160)) * 10)
    grey(root / "picture.png")
    (root / "notes.txt").write_text("x")
    (root / ".hidden").write_text("x")
    (root / "empty").touch()
    return root


def listed(plan: Plan) -> dict[str, tuple[str, list[str]]]:
    found = [unit for part in plan.parts() for unit in part.units]
    return {unit.key: (unit.kind, [file.path for file in unit.files]) for unit in found}


def test_units(root: Path) -> None:
    plan = make_plan([Source(root)])
    found = listed(plan)
    first = {key: value for key, value in found.items() if value[0] != "rejected"}
    assert first == {
        "file a.mhd": ("itk", ["a.mhd", "shared.raw"]),
        "file b.mhd": ("itk", ["b.mhd"]),
        "series 1.1": ("dicom", ["elsewhere/a.dcm", "mixed/x1000.dcm", "mixed/x1001.dcm"]),
        "series 1.2": ("dicom", ["mixed/x2000.dcm", "mixed/x2001.dcm"]),
        "file picture.png": ("picture", ["picture.png"]),
        "folder unnamed": ("dicom", ["unnamed/a000.dcm", "unnamed/a001.dcm"]),
    }
    rows = plan.table.to_pylist()
    assert {row["path"].decode(): row["reason"] for row in rows if row["reason"]} == {
        ".hidden": "hidden",
        "c.mhd": "missing_data",
        "empty": "empty",
        "mixed/cut.dcm": "truncated",
        "notes.txt": "unrecognised",
    }
    suspects = {row["path"].decode() for row in rows if row["suspect"]}
    assert suspects == {f"mixed/x{i}.dcm" for i in ("1000", "1001", "2000", "2001")}
    assert len(rows) == len({row["path"] for row in rows}) == sum(path.is_file() for path in root.rglob("*"))
    assert [row["unit"] for row in rows] == sorted(row["unit"] for row in rows)
    assert plan.counts() == {"sources": 1, "units": len(found), "parts": 1}


@pytest.mark.slow
def test_extraction_by_units_agrees_with_the_stacks_of_the_folder(root: Path, tmp_path: Path) -> None:
    summary = extract([root], tmp_path / "out", SlicePolicy(every_mm=0), progress=False)
    assert summary.rejected == {"empty": 1, "hidden": 1, "missing_data": 1, "truncated": 1, "unrecognised": 1}
    rows = read_manifest(tmp_path / "out").to_pylist()
    flags = {row["slice_id"]: row["flags"] for row in rows if row["source_format"] == "dicom"}
    assert sum("missing" in f for f in flags.values()) == 5  # the two series of the folder with the damaged file
    assert len(flags) == 7


def test_processes_share_the_planning(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = make_plan([Source(root)])
    monkeypatch.setattr(inspection, "ALONE", 3)
    monkeypatch.setattr(inspection, "CHUNK", 2)
    monkeypatch.setattr(inspection, "AHEAD", 1)
    assert make_plan([Source(root)], workers=2).table.equals(alone.table)


def test_twins_of_another_series_are_found(tmp_path: Path) -> None:
    for number, intent in enumerate(("FOR PROCESSING", "FOR PRESENTATION")):
        own = {"SeriesInstanceUID": f"1.{number}", "Modality": "DX", "PresentationIntentType": intent}
        save(dicom_slice(0, **own), tmp_path / f"{number}.dcm")
    rows = make_plan([Source(tmp_path)]).table.to_pylist()
    assert {row["path"].decode(): row["reason"] for row in rows} == {"0.dcm": "for_processing", "1.dcm": ""}


def test_round_trip(root: Path, tmp_path: Path) -> None:
    sources = [Source(root, "d", "ct", 64, ("axial",), "train", "(x)", "space"), Source(root / "picture.png")]
    plan = make_plan(sources)
    write_plan(plan, tmp_path / "new" / "plan.parquet")
    again = read_plan(tmp_path / "new" / "plan.parquet")
    assert again.sources == tuple(sources)
    assert again.table.equals(plan.table)
    assert [(p.index, p.source, p.units, p.digest) for p in again.parts()] == [
        (p.index, p.source, p.units, p.digest) for p in plan.parts()
    ]
    assert stat.S_IMODE((tmp_path / "new" / "plan.parquet").stat().st_mode) == 0o600
    assert [field.name for field in again.table.schema] == list(PLAN_FIELDS)


def test_names_that_are_no_text(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    try:
        grey(tmp_path / "in" / name)
    except OSError:
        pytest.skip("this file system takes text only")
    write_plan(make_plan([Source(tmp_path / "in")]), tmp_path / "plan.parquet")
    plan = read_plan(tmp_path / "plan.parquet")
    assert [path for _, paths in listed(plan).values() for path in paths] == [name]
    assert extract(plan, tmp_path / "out", progress=False).slices == 1


@pytest.mark.parametrize(
    ("total", "expected"),
    [
        (0, MIN_PART_BYTES),
        (64 * 8 * MIB, 8 * MIB),
        (64 * 8 * MIB + 64, 16 * MIB),
        (64 * 100 * MIB, 128 * MIB),
        (1 << 50, MAX_PART_BYTES),
    ],
)
def test_size_of_parts(total: int, expected: int) -> None:
    assert part_bytes(total) == expected


def test_parts_are_full_but_not_overfull(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "MIN_PART_BYTES", 4 * FILE_BYTES)
    monkeypatch.setattr(units, "MAX_PART_BYTES", 4 * FILE_BYTES)
    for name, size in (("a", 1), ("b", 1), ("c", 3 * FILE_BYTES), ("d", 1), ("e", 9 * FILE_BYTES), ("f", 1)):
        (tmp_path / name).write_bytes(b"x" * size)
    parts = [[unit.files[0].path for unit in part.units] for part in make_plan([Source(tmp_path)]).parts()]
    assert parts == [["a", "b"], ["c", "d"], ["e"], ["f"]]
    assert [part.index for part in make_plan([Source(tmp_path)]).parts()] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "change",
    [{"path": "y"}, {"size": 2}, {"mtime_ns": 2}, {"suspect": True}, {"reason": "empty"}, {"detail": "z"}],
    ids=lambda change: next(iter(change)),
)
def test_a_digest_sees_every_change(change: dict[str, object]) -> None:
    file = {"path": "x", "size": 1, "mtime_ns": 1}
    one, other = (
        units.Part(Source(Path("s")), 0, (Unit("picture", "file x", (PlannedFile(**fields),)),)).digest
        for fields in (file, {**file, **change})
    )
    assert one != other


def test_no_plan(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no plan .* scan SRC -o"):
        read_plan(tmp_path / "plan.parquet")
    (tmp_path / "junk.parquet").write_bytes(b"junk")
    with pytest.raises(ValueError, match="is no plan"):
        read_plan(tmp_path / "junk.parquet")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(ValueError, match="is no plan"):
        read_plan(tmp_path / "other.parquet")


def test_a_plan_from_the_future_or_of_what_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grey(tmp_path / "in" / "a.png")
    plan = make_plan([Source(tmp_path / "in")])
    write_plan(plan, tmp_path / "plan.parquet")
    monkeypatch.setattr(plans, "PLAN_SCHEMA", 0)
    with pytest.raises(ValueError, match="has schema 1, this version reads 0"):
        read_plan(tmp_path / "plan.parquet")
    monkeypatch.undo()
    (tmp_path / "in").rename(tmp_path / "moved")
    with pytest.raises(FileNotFoundError, match="run where the plan was made"):
        read_plan(tmp_path / "plan.parquet")


def test_an_empty_folder_and_no_sources(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no files"):
        make_plan([Source(tmp_path)])
    with pytest.raises(ValueError, match="no sources given"):
        make_plan([])
    with pytest.raises(FileNotFoundError, match="check the path"):
        make_plan([Source(tmp_path / "gone")])
