from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path

import pytest

from lvm_med_monai.slices import CT_WINDOWS, read_manifest
from lvm_med_monai.slices.__main__ import COMMANDS, main
from lvm_med_monai.slices.work import extraction
from lvm_med_monai.slices.work.part_extraction import extract_part
from tests.slices.factories import series
from tests.slices.worker_faults import faulty


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    series(tmp_path / "in", 4)
    (tmp_path / "in" / "notes.txt").write_text("x")
    return tmp_path / "in"


@pytest.fixture
def inside_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_help_is_quick_and_loads_nothing_heavy() -> None:
    code = (
        "import sys, time, contextlib, io\n"
        "start = time.perf_counter()\n"
        "from lvm_med_monai.slices.__main__ import main\n"
        "with contextlib.redirect_stdout(io.StringIO()) as text, contextlib.suppress(SystemExit): main(['--help'])\n"
        "assert 'examples:' in text.getvalue()\n"
        "assert time.perf_counter() - start < 1\n"
        "import lvm_med_monai.slices.work.extraction, lvm_med_monai.slices.report.scan\n"
        "import lvm_med_monai.slices.checks.verification\n"
        "heavy = {'torch', 'monai', 'itk', 'nibabel', 'pydicom'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_scan_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scan", str(folder)]) == 0
    text = capsys.readouterr().out
    assert "40x48" in text
    assert "0.75x0.5x2.5" in text
    assert "unrecognised" in text


def test_scan_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scan", str(folder), "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["kind"] for row in rows] == ["plan", "stack", "reject"]
    assert rows[1]["slices"] == 4
    assert rows[1]["affine_lps"][2][2] == 2.5


def test_extract_then_verify(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "out")
    arguments = ["extract", str(folder), "-o", out, "--every-mm", "0", "--dataset", "d", "--split", "train", "--json"]
    assert main([*arguments, "--key", str(tmp_path / "key")]) == 0
    assert json.loads(capsys.readouterr().out)["slices"] == 4
    assert main(["verify", out, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["files_in"], result["files_in_manifest"], result["files_in_rejects"]) == (5, 4, 1)
    assert (result["slices"], result["ok"]) == (4, True)


def test_default_key_lies_beside_the_output(folder: Path, tmp_path: Path) -> None:
    assert main(["extract", str(folder), "-o", str(tmp_path / "out"), "--planes", "acquisition"]) == 0
    assert (tmp_path / "out.key").is_file()


def test_sources_file(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sources.json").write_text(json.dumps([{"path": "in", "dataset": "listed"}]))
    assert main(["extract", "--sources", str(tmp_path / "sources.json"), "-o", str(tmp_path / "out")]) == 0
    assert "files_in_manifest" in capsys.readouterr().out


def test_verify_fails_with_1(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["extract", str(folder), "-o", str(tmp_path / "out")])
    next((tmp_path / "out").rglob("*.tar")).write_bytes(b"")
    capsys.readouterr()
    assert main(["verify", str(tmp_path / "out")]) == 1
    assert "not what the manifest says" in capsys.readouterr().out


def test_plan_then_ranks_then_merge(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, out = str(tmp_path / "plan.parquet"), str(tmp_path / "out")
    assert main(["scan", str(folder), "-o", plan, "--dataset", "d", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == {"kind": "plan", "files": 5, "bytes": rows[0]["bytes"], "sources": 1, "units": 2, "parts": 1}
    assert [row["kind"] for row in rows] == ["plan", "stack", "reject"]
    extract = ["extract", plan, "-o", out, "--every-mm", "0", "--workers", "0", "--json"]
    monkeypatch.setenv("SLURM_PROCID", "1")
    monkeypatch.setenv("SLURM_NTASKS", "2")
    assert main(extract) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["files_in"] == 0
    assert "rank 1 of 2 (from SLURM_PROCID)" in captured.err
    assert main(["merge", out]) == 2
    assert "1 of 1 parts are missing" in capsys.readouterr().err
    assert main([*extract, "--rank", "0", "--world-size", "2"]) == 0
    assert json.loads(capsys.readouterr().out)["slices"] == 4
    assert not (tmp_path / "out" / "manifest.parquet").exists()
    assert main(["merge", out, "--json"]) == 0
    merged = json.loads(capsys.readouterr().out)
    assert (merged["slices"], merged["rejected"]) == (4, {"unrecognised": 1})
    assert main(["verify", out]) == 0


def test_a_plan_alone(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scan", str(folder), "-o", str(tmp_path / "plan.parquet"), "--quiet"]) == 0
    assert capsys.readouterr().out.startswith("5 files, ")


def test_options_reach_the_extraction(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["extract", str(folder), "-o", str(tmp_path / "out"), "--workers", "1", "--every-mm", "0", "--json"]
    arguments += [
        "--bits",
        "8",
        "--preset",
        "lung",
        "--splits",
        "train=1",
        "--near-duplicates",
        "0",
        "--min-size",
        "41",
    ]
    assert main([*arguments, "--memory-limit", "4", "--time-limit", "60"]) == 0
    assert json.loads(capsys.readouterr().out)["rejected"] == {"small": 4, "unrecognised": 1}
    assert main([*arguments, "--min-size", "40"]) == 0
    row = read_manifest(tmp_path / "out").to_pylist()[0]
    assert (row["dtype"], row["split"], row["window_lower"]) == ("uint8", "train", CT_WINDOWS["lung"].lower)


def test_extract_says_with_1_that_units_failed(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "bug.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    monkeypatch.setattr(
        extraction,
        "run_jobs",
        functools.partial(extraction.run_jobs, work=functools.partial(extract_part, read_unit=faulty)),
    )
    assert main(["extract", str(folder), "-o", str(tmp_path / "out"), "--workers", "0"]) == 1
    assert "1 series or files crashed, hung or ran out of memory" in capsys.readouterr().err
    assert main(["merge", str(tmp_path / "out")]) == 1


def test_interruption_ends_with_130(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(extraction, "run_jobs", interrupt)
    assert main(["extract", str(folder), "-o", str(tmp_path / "out")]) == 130
    assert "run the same command again" in capsys.readouterr().err


def test_workers_start_light() -> None:
    code = (
        "import sys\n"
        "import lvm_med_monai.slices.work.worker, lvm_med_monai.slices.work.part_extraction\n"
        "heavy = {'torch', 'monai', 'itk', 'nibabel', 'ray'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("command", [command.__name__.rpartition(".")[2] for command in COMMANDS])
def test_every_command_teaches(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert len(capsys.readouterr().out.splitlines()) > 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["verify", "nowhere"], "nowhere holds no files.parquet"),
        (["scan", "nowhere"], "no file or folder nowhere; check the path"),
        (["extract", "-o", "out"], "no sources given"),
        (["extract", "nowhere", "-o", "out", "--planes", "up"], "planes of nowhere must be some of"),
        (["extract", "nowhere", "-o", "out", "--rank", "1"], "--rank and --world-size go together"),
        (["extract", "nowhere", "-o", "out", "--splits", "train"], "splits are written as train=0.8"),
        (["extract", "nowhere", "-o", "out", "--codec", "gif"], "there is no codec gif"),
        (["extract", "nowhere", "-o", "out", "--memory-limit", "0.1"], "at least 512 MiB"),
        (["extract", "plan.parquet", "-o", "out"], "no plan plan.parquet"),
        (["extract", "plan.parquet", "a", "-o", "out"], "leave out other sources"),
        (["extract", "plan.parquet", "-o", "out", "--split", "train"], "leave out --split"),
        (["scan", ".", "-o", "plan"], "name it plan.parquet"),
        (["scan"], "no sources given"),
        (["merge", "nowhere"], "nowhere holds no parts"),
    ],
)
@pytest.mark.usefixtures("inside_tmp_path")
def test_one_clear_error(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert len(error.splitlines()) == 1
