from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lvm_med_monai.slices.__main__ import main
from tests.slices.factories import series


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
        "import lvm_med_monai.slices.extraction, lvm_med_monai.slices.verification, lvm_med_monai.slices.scan\n"
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
    assert [row["kind"] for row in rows] == ["stack", "reject"]
    assert rows[0]["slices"] == 4
    assert rows[0]["affine_lps"][2][2] == 2.5


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["verify", "nowhere"], "nowhere holds no files.parquet"),
        (["scan", "nowhere"], "no file or folder nowhere; check the path"),
        (["extract", "-o", "out"], "no sources given"),
        (["extract", "nowhere", "-o", "out", "--planes", "up"], "planes of nowhere must be some of"),
    ],
)
@pytest.mark.usefixtures("inside_tmp_path")
def test_one_clear_error(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert len(error.splitlines()) == 1
