from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image
from pydicom.uid import JPEG2000Lossless

from lvm_med_monai.slices import SlicePolicy, Source, extract, read_manifest, read_rejects, read_slice, verify
from lvm_med_monai.slices.source import read_sources
from lvm_med_monai.slices.store.storage import Storage
from lvm_med_monai.slices.work import part_tables
from tests.slices.factories import CANARY, SPACING_Z, compressed, dicom_slice, save, series, stored_pixels

ALL = SlicePolicy(every_mm=0)
NAME = "Canary_Mustermann"


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """A folder with one of everything, named after a patient."""
    root = tmp_path / NAME
    series(root / "ct", 5)
    broken = save(compressed(9, JPEG2000Lossless), root / "ct" / f"{NAME}.dcm")
    data = bytearray(broken.read_bytes())
    start = data.find(b"\xff\x4f\xff\x51")
    data[start : start + 40] = bytes(40)
    broken.write_bytes(data)
    save(dicom_slice(0, SeriesInstanceUID="1.7", Modality="US"), root / "us.dcm")
    volume = np.random.default_rng(0).normal(100, 30, (40, 42, 44)).astype(np.float32)
    volume[0, 0, 0] = np.nan
    nibabel.save(nibabel.Nifti1Image(volume, np.diag([1.0, 1, 1, 1])), root / f"{NAME}.nii.gz")
    Image.fromarray((volume[1] % 256).astype(np.uint8)).save(root / "grey.png")
    Image.fromarray(np.full((40, 40), 7, np.uint8)).save(root / "flat.png")
    (root / "notes.txt").write_text(NAME)
    return root


def run(source: Path | Source, tmp_path: Path, policy: SlicePolicy = ALL, out: str = "out", **options):
    return extract([source], tmp_path / out, policy, tmp_path / "key", progress=False, **options)


def test_accounts_close(inputs: Path, tmp_path: Path) -> None:
    summary = run(inputs, tmp_path)
    files = sum(path.is_file() for path in inputs.rglob("*"))
    assert summary.files_in == files == summary.files_in_manifest + summary.files_in_rejects
    assert summary.rejected == {"burned_in_risk": 1, "corrupt": 1, "flat": 1, "unrecognised": 1}
    assert summary.slices == 5 + 44 + 1
    result = verify(tmp_path / "out")
    assert result.ok, result.faults
    assert (result.files_in, result.slices) == (summary.files_in, summary.slices)
    assert len(read_rejects(tmp_path / "out")) == summary.files_in_rejects


def test_rows_tell_values_and_places(inputs: Path, tmp_path: Path) -> None:
    run(Source(inputs / "ct", "set", split="train"), tmp_path)
    rows = read_manifest(tmp_path / "out").to_pylist()
    assert [row["slice_index"] for row in rows] == [0, 1, 2, 3, 4]
    for i, row in enumerate(rows):
        assert np.array_equal(read_slice(tmp_path / "out", row), stored_pixels(i).astype(np.float32) - 1024)
        assert row["origin"] == [-20, -10, i * SPACING_Z]
        assert row["position_mm"] == i * SPACING_Z
        assert (row["spacing_y"], row["spacing_x"], row["slice_spacing"]) == (0.75, 0.5, SPACING_Z)
        assert (row["window_lower"], row["window_upper"]) == (-160, 240)
        assert (row["split"], row["dataset"], row["units"], row["plane"]) == ("train", "set", "HU", "axial")
        assert row["flags"] == ["gap", "missing"] or row["flags"] == ["missing"]
    assert len({row["slice_id"] for row in rows}) == 5
    assert len({row["patient_h"] for row in rows}) == len({row["series_h"] for row in rows}) == 1


def test_no_canary_in_any_output_byte(inputs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    extract([inputs], tmp_path / "out", ALL, tmp_path / "key", keep_burned_in=True)
    printed = "".join(capfd.readouterr())
    canaries = [NAME, CANARY, "1.2.3.999.1", "1.2.3.4", "us.dcm", str(tmp_path)]
    paths = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert paths
    for canary in canaries:
        assert canary not in printed
        for path in paths:
            assert canary.encode() not in path.read_bytes()
            assert canary not in str(path.relative_to(tmp_path))
    columns = read_manifest(tmp_path / "out").to_pylist()  # Parquet compresses, so the text is looked at as well
    text = json.dumps(columns + read_rejects(tmp_path / "out").to_pylist())
    assert not [canary for canary in canaries if canary in text]


def test_second_run_skips_and_settings_redo(inputs: Path, tmp_path: Path) -> None:
    first = run(inputs, tmp_path)
    files = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    again = run(inputs, tmp_path)
    assert (first.sources_done, again.sources_done, again.sources_skipped) == (1, 0, 1)
    assert again.slices == first.slices
    assert files == {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    fewer = run(inputs, tmp_path, SlicePolicy(every_mm=10))
    assert fewer.sources_done == 1
    assert fewer.slices < first.slices
    assert fewer.dropped["spacing"] > 0
    assert verify(tmp_path / "out").ok


def test_interrupted_source_is_redone(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(inputs, tmp_path, out="undisturbed")

    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(part_tables.TableBuilder, "write", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(inputs, tmp_path)
    run(inputs, tmp_path)
    one, other = (
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for root in (tmp_path / "out", tmp_path / "undisturbed")
    )
    assert one == other


def test_sources_accumulate(inputs: Path, tmp_path: Path) -> None:
    run(Source(inputs / "ct", "a"), tmp_path)
    summary = run(Source(inputs / "grey.png", "b"), tmp_path)
    assert summary.slices == 6
    assert {row["dataset"] for row in read_manifest(tmp_path / "out").to_pylist()} == {"a", "b"}


def test_modality_and_planes_of_a_source(inputs: Path, tmp_path: Path) -> None:
    source = Source(inputs / f"{NAME}.nii.gz", modality="ct", planes=("axial", "acquisition", "coronal"))
    assert run(source, tmp_path).slices == 44 + 42
    rows = read_manifest(tmp_path / "out").to_pylist()
    assert {(row["modality"], row["units"]) for row in rows} == {("CT", "HU")}
    assert [row["plane"] for row in rows] == ["axial"] * 44 + ["coronal"] * 42
    assert {"nan", "no_geometry", "quantised"} & set(rows[0]["flags"]) == {"nan", "quantised"}


def test_plane_that_cannot_be_cut(inputs: Path, tmp_path: Path) -> None:
    summary = run(Source(inputs / "ct", planes=("coronal",)), tmp_path)
    assert summary.slices == 0
    assert summary.rejected == {"corrupt": 1, "plane": 5}
    assert verify(tmp_path / "out").ok


@pytest.mark.parametrize("planes", [("acquisition",), ("coronal",)])
@pytest.mark.parametrize("damaged", [0, 2, 4])
def test_a_slice_that_cannot_be_decoded(damaged: int, planes: tuple[str, ...], tmp_path: Path) -> None:
    for i in range(5):
        path = save(compressed(i, JPEG2000Lossless), tmp_path / "in" / f"{i}.dcm")
        if i == damaged:
            data = bytearray(path.read_bytes())
            start = data.find(b"\xff\x4f\xff\x51")
            data[start : start + 40] = bytes(40)
            path.write_bytes(data)
    summary = run(Source(tmp_path / "in", planes=planes), tmp_path)
    if planes == ("acquisition",):
        assert (summary.slices, summary.rejected) == (4, {"corrupt": 1})
        rows = read_manifest(tmp_path / "out").to_pylist()
        assert [row["position_mm"] for row in rows] == [i * SPACING_Z for i in range(5) if i != damaged]
        assert all("missing" in row["flags"] for row in rows)
    else:
        assert (summary.slices, summary.rejected) == (0, {"corrupt": 1, "plane": 4})
    assert verify(tmp_path / "out").ok


def test_tiles_of_a_picture(inputs: Path, tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 130), dtype=np.uint8)).save(inputs / "big.png")
    assert run(Source(inputs / "big.png", tile=40), tmp_path).slices == 6
    rows = read_manifest(tmp_path / "out").to_pylist()
    assert [(row["tile_row"], row["tile_column"]) for row in rows] == [(y, x) for y in (0, 40) for x in (0, 40, 80)]
    assert rows[0]["origin"] is None


def test_verify_finds_damage(inputs: Path, tmp_path: Path) -> None:
    run(inputs / "ct", tmp_path)
    shard = next((tmp_path / "out").rglob("*.tar"))
    row = read_manifest(tmp_path / "out").to_pylist()[2]
    data = bytearray(shard.read_bytes())
    data[row["offset"] + row["nbytes"] // 2] ^= 0xFF
    shard.write_bytes(data)
    result = verify(tmp_path / "out")
    assert not result.ok
    assert row["slice_id"] in result.faults[0]


def test_verify_finds_a_patient_in_two_splits(inputs: Path, tmp_path: Path) -> None:
    run(Source(inputs / "ct", "a", split="train"), tmp_path)
    run(Source(inputs / "ct", "b", split="test"), tmp_path)
    result = verify(tmp_path / "out")
    assert not result.ok
    assert "in splits test, train" in result.faults[-1]


def test_faults_of_the_user(inputs: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no sources given"):
        extract([], tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="check the path"):
        run(tmp_path / "nothing", tmp_path)
    with pytest.raises(ValueError, match="lies inside of the source"):
        run(inputs, tmp_path, out=f"{NAME}/out")
    with pytest.raises(ValueError, match="given twice"):
        extract([inputs, inputs], tmp_path / "out")
    with pytest.raises(ValueError, match=r"tile of .* at least 1"):
        Source(inputs, tile=0)
    with pytest.raises(ValueError, match="planes of"):
        Source(inputs, planes=("up",))


def test_another_key_is_refused(inputs: Path, tmp_path: Path) -> None:
    run(inputs / "ct", tmp_path)
    with pytest.raises(ValueError, match="another key"):
        extract([inputs / "grey.png"], tmp_path / "out", ALL, tmp_path / "other", progress=False)


def test_sources_file(tmp_path: Path) -> None:
    path = tmp_path / "sources.json"
    path.write_text(json.dumps([{"path": "x", "dataset": "d", "planes": ["axial"], "split": "test"}]))
    assert read_sources(path) == [Source(tmp_path / "x", "d", planes=("axial",), split="test")]
    for text in ("{}", "[]", '[{"dataset": "d"}]', '[{"path": "x", "colour": 1}]', "not json"):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"sources\.json lists no sources"):
            read_sources(path)


@pytest.mark.parametrize("bits", [16, 8])
def test_radiographs_of_a_series_have_their_own_windows(bits: int, tmp_path: Path) -> None:
    unplaced = dict.fromkeys(("ImagePositionPatient", "ImageOrientationPatient", "RescaleSlope", "RescaleIntercept"))
    for index, centre in enumerate((2048, 512)):
        shown = {"Modality": "CR", "WindowCenter": centre, "WindowWidth": 2 * centre}
        pixels = np.linspace(0, 2 * centre - 1, 40 * 48).reshape(40, 48).astype(np.uint16)
        save(dicom_slice(index, pixels=pixels, **unplaced, **shown), tmp_path / "cr" / f"{index}.dcm")
    run(tmp_path / "cr", tmp_path, storage=Storage(bits=bits))
    rows = read_manifest(tmp_path / "out").to_pylist()
    assert [(row["window_lower"], row["window_upper"]) for row in rows] == [(0, 4095), (0, 1023)]
    slices = [read_slice(tmp_path / "out", row) for row in rows]
    assert [(values.min(), values.max()) for values in slices] == [(0, 4095), (0, 1023)]
