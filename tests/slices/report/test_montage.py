from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from lvm_med_monai.slices import SlicePolicy, Source, extract
from lvm_med_monai.slices.__main__ import main
from lvm_med_monai.slices.report.montage import CAPTION, COLUMNS, GAP, MARGIN, PICTURE, caption, montage
from lvm_med_monai.slices.report.montage_choice import choose, middle_first
from tests.slices.factories import series


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CT series of 5 slices, and two pictures, one of them colour and 60 x 120."""
    root = tmp_path_factory.mktemp("montage")
    series(root / "ct", 5)
    (root / "pictures").mkdir()
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (40, 50), dtype=np.uint8)).save(root / "pictures/a.png")
    red = np.zeros((60, 120, 3), np.uint8)
    red[:, :, 0] = 250
    red[:, :60, 0] = 200
    Image.fromarray(red).save(root / "pictures/b.png")
    sources = [Source(root / "ct", "a set/of CT"), Source(root / "pictures", "b")]
    extract(sources, root / "out", SlicePolicy(every_mm=0), root / "key", progress=False)
    return root / "out"


def table(*rows: tuple[str, str, int, tuple[str, ...]]) -> pa.Table:
    """Rows of (patient, series, slice index, flags) in shuffled order, all of one modality and plane."""
    columns: dict[str, list[Any]] = {
        "patient_h": [row[0] for row in rows],
        "series_h": [row[1] for row in rows],
        "slice_index": [row[2] for row in rows],
        "flags": [list(row[3]) for row in rows],
        "stack_index": [0] * len(rows),
        "plane": ["axial"] * len(rows),
        "modality": ["CT"] * len(rows),
    }
    return pa.table(columns)


@pytest.mark.parametrize(
    ("count", "order"), [(0, []), (1, [0]), (2, [1, 0]), (3, [1, 0, 2]), (7, [3, 1, 5, 0, 2, 4, 6])]
)
def test_middle_first(count: int, order: list[int]) -> None:
    assert middle_first(list(range(count))) == order


def test_patients_come_in_turn() -> None:
    rows = [("p1", "s1", i, ()) for i in range(100)] + [("p2", "s2", i, ()) for i in range(3)]
    chosen = choose(table(*rows), 6)
    assert [row for row in chosen if row >= 100] == [100, 101, 102]
    assert len(chosen) == 6


def test_stacks_of_a_patient_come_in_turn() -> None:
    rows = [("p", "s1", i, ()) for i in range(50)] + [("p", "s2", i, ()) for i in range(50)]
    chosen = choose(table(*rows), 4)
    assert sum(row < 50 for row in chosen) == 2


def test_every_flag_is_seen_and_rare_ones_do_not_take_over() -> None:
    rows = [("p", "s", i, ("gap",) if i == 70 else ()) for i in range(100)]
    assert 70 in choose(table(*rows), 4)
    many = [("p", "s", i, (f"flag{i}",)) for i in range(50)] + [(f"q{i}", "t", 0, ("flag0",)) for i in range(4)]
    chosen = choose(table(*many), 8)
    assert sum(row >= 50 for row in chosen) >= 3


def test_choice_does_not_depend_on_the_order_of_rows() -> None:
    rows = [(f"p{i % 5}", f"s{i % 7}", i, ()) for i in range(60)]
    shuffled = [rows[i] for i in np.random.default_rng(0).permutation(60)]
    assert [rows[i] for i in choose(table(*rows), 12)] == [shuffled[i] for i in choose(table(*shuffled), 12)]


@pytest.mark.parametrize(("rows", "count", "chosen"), [(3, 10, 3), (3, 1, 1), (0, 5, 0)])
def test_fewer_rows_than_places(rows: int, count: int, chosen: int) -> None:
    some = [("p", "s", i, ()) for i in range(rows)]
    empty = table(("p", "s", 0, ())).slice(0, 0)
    assert len(choose(table(*some) if some else empty, count)) == chosen


def test_sheets_show_the_windowed_pixels(out: Path, tmp_path: Path) -> None:
    paths = montage(out, tmp_path / "sheets", 48)
    assert [path.name for path in paths] == ["01_a_set_of_CT.png", "02_b.png"]
    with Image.open(paths[0]) as sheet:
        assert sheet.size[0] == 2 * MARGIN + 5 * (PICTURE + GAP) - GAP
        assert not sheet.info.get("text")
    with Image.open(paths[1]) as sheet:
        pixels = np.asarray(sheet)
    # display pictures come behind each other; the colour one is twice as wide as high, so half of its tile is empty
    reds = (pixels[..., 0] > 190) & (pixels[..., 1] == 0) & (pixels[..., 2] == 0)
    rows, columns = np.nonzero(reds)
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (PICTURE // 2, PICTURE)
    left, right = pixels[rows.min() + 60, columns.min() + 40, 0], pixels[rows.min() + 60, columns.max() - 40, 0]
    assert (left, right) == (200, 250)


def test_pixel_spacing_gives_the_aspect(out: Path, tmp_path: Path) -> None:
    path = montage(out, tmp_path / "sheets", 1)[0]
    with Image.open(path) as sheet:
        pixels = np.asarray(sheet.convert("L"))
    tile = pixels[MARGIN + 58 : MARGIN + 58 + PICTURE, MARGIN : MARGIN + PICTURE]
    rows = np.nonzero(tile.max(1))[0]
    # 48 columns of 0.5 mm and 40 rows of 0.75 mm: 24 x 30 mm
    assert np.ptp(rows) + 1 == PICTURE
    middle = tile[PICTURE // 2 - 20 : PICTURE // 2 + 20]
    columns = np.nonzero(middle.max(0))[0]
    assert abs(np.ptp(columns) + 1 - PICTURE * 24 / 30) <= 2


def test_always_the_same_bytes(out: Path, tmp_path: Path) -> None:
    one, other = (montage(out, tmp_path / name)[0].read_bytes() for name in "ab")
    assert one == other


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({}, ("CT,  axial,  -12.5 mm", "50x40,  0.75x1 mm,  abcdef")),
        ({"plane": "unknown", "position_mm": None, "spacing_x": None}, ("CT", "50x40,  abcdef")),
        (
            {"modality": "unknown", "position_mm": 0.0},
            ("modality unknown,  axial,  +0.0 mm", "50x40,  0.75x1 mm,  abcdef"),
        ),
    ],
)
def test_caption(changes: dict[str, Any], lines: tuple[str, str]) -> None:
    row = {
        "modality": "CT",
        "plane": "axial",
        "position_mm": -12.5,
        "width": 50,
        "height": 40,
        "spacing_x": 0.75,
        "spacing_y": 1.0,
        "slice_id": "abcdef0123456789-q000000",
    }
    assert caption({**row, **changes}) == lines


def test_tiles_wrap_into_lines(out: Path, tmp_path: Path) -> None:
    from lvm_med_monai.slices import read_manifest
    from lvm_med_monai.slices.report.montage import sheet

    rows = read_manifest(out).to_pylist()[:1] * (COLUMNS + 1)
    one, two = sheet(out, rows[:COLUMNS], ("x" * 500, "")), sheet(out, rows, ("x", ""))
    assert two.size == (one.size[0], one.size[1] + PICTURE + CAPTION + GAP)


def test_command(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["montage", str(out), "-o", str(tmp_path / "m"), "--count", "2", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["sheets"]) == 2
    assert main(["montage", str(out), "-o", str(tmp_path / "m"), "--count", "0"]) == 2
    assert "at least 1 slice" in capsys.readouterr().err
    assert main(["montage", str(tmp_path), "-o", str(tmp_path / "m")]) == 2


def test_no_slices(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("x")
    extract([tmp_path / "in"], tmp_path / "out", progress=False)
    with pytest.raises(ValueError, match="no slices to show"):
        montage(tmp_path / "out", tmp_path / "m")
