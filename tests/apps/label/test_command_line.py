"""Bad input is met before anything is copied or started: one message, status 2, nothing left behind."""

from __future__ import annotations

import http.server
import json
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from lvm_med_monai.apps.label import __main__ as program, launch
from lvm_med_monai.apps.label.launch import Settings, check_port, command, environment
from lvm_med_monai.apps.label.staging import choose, stage
from lvm_med_monai.apps.label.studies import check_studies
from lvm_med_monai.apps.label.workspace import LOCK

LINEAR = {"_target_": "torch.nn.Linear", "in_features": 2, "out_features": 1}
NAME = "tiny_segmentation"


def bundle(folder: Path, name: str = NAME, weights: bool = True) -> Path:
    """The smallest bundle that can be staged: a linear layer."""
    configs = folder / name / "configs"
    configs.mkdir(parents=True)
    for file in ("inference.json", "train.json"):
        (configs / file).write_text(json.dumps({"size": 2, "network_def": {**LINEAR, "in_features": "@size"}}))
    (configs / "metadata.json").write_text(json.dumps({"description": "tiny"}))
    (configs / "wide.json").write_text(json.dumps({"size": 3}))
    (folder / name / "docs").mkdir()
    (folder / name / "LICENSE").touch()
    if weights:
        (folder / name / "models").mkdir()
        torch.save(torch.nn.Linear(2, 1).state_dict(), folder / name / "models" / "model.pt")
    return folder / name


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "a.png").touch()
    return folder


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """Settings of the servers that would have been started."""
    started: list[Settings] = []
    monkeypatch.setattr(program, "serve", lambda settings: started.append(settings) or 0)
    monkeypatch.setattr(program, "check_server", lambda: None)
    return started


def test_a_bundle_is_copied_and_served(tmp_path: Path, images: Path, served: list[Settings]) -> None:
    source = bundle(tmp_path / "bundles")
    workspace = tmp_path / "workspace"
    arguments = ["--studies", str(images), "--bundles", NAME, "--collection", str(tmp_path / "bundles")]
    assert program.main([*arguments, "--port", "0", "--workspace", str(workspace)]) == 0
    assert served[0].bundles == [NAME]
    assert served[0].host == "127.0.0.1"
    copy = workspace / "app" / "model" / NAME
    assert (copy / "models" / "model.pt").is_file()
    assert not copy.is_symlink()
    assert "LabelApp" in (workspace / "app" / "main.py").read_text()
    (copy / "models" / "model.pt").write_bytes(b"learnt")
    assert program.main([*arguments, "--port", "0", "--workspace", str(workspace)]) == 0
    assert (copy / "models" / "model.pt").read_bytes() == b"learnt"
    assert program.main([*arguments, "--port", "0", "--workspace", str(workspace), "--fresh"]) == 0
    assert (copy / "models" / "model.pt").read_bytes() != b"learnt"
    assert sorted(path.name for path in source.iterdir()) == ["LICENSE", "configs", "docs", "models"]


def test_without_a_workspace_nothing_stays(tmp_path: Path, images: Path, served: list[Settings]) -> None:
    bundle(tmp_path / "bundles")
    assert program.main(["--studies", str(images), "--bundles", f"{tmp_path}/bundles/{NAME}", "--port", "0"]) == 0
    assert not served[0].app.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--bundles", "absent_segmentation"], "there is no bundle absent_segmentation"),
        (["--bundles", "/nowhere/x_segmentation"], "is no bundle"),
        (["--bundles", "bare_segmentation"], "has no weights"),
        (["--bundles", ","], "no bundle is named"),
        (["--bundles", f"{NAME},{NAME}"], "two bundles"),
        (["--bundles", "without_task"], "must hold one of"),
        (["--bundles", "only_embedding"], "name a bundle that annotators can use"),
        (["--bundles", NAME, "--weights", f"{NAME}=absent.pt"], "do not exist"),
        (["--bundles", NAME, "--weights", "other=absent.pt"], "not among"),
        (["--bundles", "bare_segmentation", "--weights", "bare_segmentation={junk}"], "does not fit"),
        (["--bundles", NAME, "--weights", f"{NAME}={{fine}}", "--overlay", "wide.json"], "does not fit"),
        (["--bundles", NAME, "--weights", f"{NAME}={{fine}}", "--overlay", "absent.json"], "does not exist"),
        (["--bundles", NAME, "--overlay", "wide.json"], "give --weights NAME=FILE too"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_bundles(
    tmp_path: Path,
    images: Path,
    served: list[Settings],
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    collection = tmp_path / "bundles"
    for name in (NAME, "without_task", "only_embedding"):
        bundle(collection, name)
    bundle(collection, "bare_segmentation", weights=False)
    torch.save({"other": torch.zeros(1)}, tmp_path / "junk.pt")
    fine = collection / NAME / "models" / "model.pt"
    arguments = [text.format(junk=tmp_path / "junk.pt", fine=fine) for text in arguments]
    workspace = tmp_path / "workspace"
    common = ["--studies", str(images), "--collection", str(collection), "--port", "0", "--workspace", str(workspace)]
    assert program.main([*common, *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not served
    assert not [path for path in workspace.rglob("*") if path.is_file() and path.name not in ("main.py", LOCK)]


@pytest.fixture
def annotation(tmp_path: Path, images: Path, served: list[Settings]) -> list[str]:
    """Arguments of a server whose workspace holds a copy that has learnt."""
    bundle(tmp_path / "bundles")
    for name, seed in (("first", 1), ("second", 2)):
        torch.manual_seed(seed)
        torch.save(torch.nn.Linear(2, 1).state_dict(), tmp_path / f"{name}.pt")
    torch.save({"other": torch.zeros(1)}, tmp_path / "junk.pt")
    common = ["--studies", str(images), "--collection", str(tmp_path / "bundles"), "--port", "0", "--bundles", NAME]
    arguments = [*common, "--workspace", str(tmp_path / "workspace")]
    assert program.main([*arguments, "--weights", f"{NAME}={tmp_path / 'first.pt'}"]) == 0
    learnt_by(tmp_path).write_bytes(b"learnt")
    return arguments


def learnt_by(folder: Path) -> Path:
    return folder / "workspace" / "app" / "model" / NAME / "models" / "model.pt"


def test_the_same_command_goes_on_with_what_was_learnt(tmp_path: Path, annotation: list[str]) -> None:
    assert program.main([*annotation, "--weights", f"{NAME}={tmp_path / 'first.pt'}"]) == 0
    assert learnt_by(tmp_path).read_bytes() == b"learnt"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--weights", f"{NAME}={{0}}/second.pt"],
        ["--weights", f"{NAME}={{0}}/first.pt", "--overlay", "wide.json"],
        [],
    ],
    ids=["weights", "overlay", "own weights"],
)
def test_other_weights_are_not_left_out_without_a_word(
    tmp_path: Path,
    annotation: list[str],
    served: list[Settings],
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
) -> None:
    served.clear()
    assert program.main([*annotation, *(text.format(tmp_path) for text in arguments)]) == 2
    assert "--fresh to forget that" in capsys.readouterr().err
    assert not served
    assert learnt_by(tmp_path).read_bytes() == b"learnt"


def test_a_bundle_that_was_packaged_again_is_not_left_out(tmp_path: Path, annotation: list[str]) -> None:
    file = tmp_path / "bundles" / NAME / "configs" / "inference.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "threshold": 0.4}))
    arguments = [*annotation, "--weights", f"{NAME}={tmp_path / 'first.pt'}"]
    assert program.main(arguments) == 2
    assert program.main([*arguments, "--fresh"]) == 0
    assert json.loads((tmp_path / f"workspace/app/model/{NAME}/configs/inference.json").read_text())["threshold"] == 0.4


def test_a_fresh_start_that_fails_forgets_nothing(tmp_path: Path, annotation: list[str]) -> None:
    assert program.main([*annotation, "--fresh", "--weights", f"{NAME}={tmp_path / 'junk.pt'}"]) == 2
    assert learnt_by(tmp_path).read_bytes() == b"learnt"
    assert program.main([*annotation, "--fresh", "--weights", f"{NAME}={tmp_path / 'second.pt'}"]) == 0
    known = torch.load(tmp_path / "second.pt", weights_only=True)
    served = torch.load(learnt_by(tmp_path), weights_only=True)
    assert all(torch.equal(served[key], known[key]) for key in known)
    assert sorted(path.name for path in (tmp_path / "workspace").iterdir()) == ["app", LOCK]


@pytest.mark.parametrize(
    ("name", "message"),
    [("absent", "does not exist"), ("empty", "holds no image"), ("below", "lie in it"), ("file.png", "is a file")],
)
def test_wrong_studies(
    tmp_path: Path, served: list[Settings], capsys: pytest.CaptureFixture[str], name: str, message: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "below" / "inner").mkdir(parents=True)
    (tmp_path / "below" / "inner" / "a.png").touch()
    (tmp_path / "file.png").touch()
    bundle(tmp_path / "bundles")
    arguments = ["--bundles", NAME, "--collection", str(tmp_path / "bundles"), "--port", "0"]
    assert program.main(["--studies", str(tmp_path / name), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not served
    assert not (tmp_path / "absent").exists()


def test_weights_name_their_bundle(images: Path) -> None:
    with pytest.raises(SystemExit) as stopped:
        program.main(["--studies", str(images), "--bundles", NAME, "--weights", "model.pt"])
    assert stopped.value.code == 2


def test_weights_that_fit_with_their_overlay(tmp_path: Path) -> None:
    source = bundle(tmp_path / "bundles", weights=False)
    torch.save(torch.nn.Linear(3, 1).state_dict(), tmp_path / "wide.pt")
    choices = choose([NAME], tmp_path / "bundles", {NAME: tmp_path / "wide.pt"})
    stage(choices, tmp_path / "app", ["wide.json"])
    assert json.loads((tmp_path / "app" / "model" / NAME / "configs" / "inference.json").read_text())["size"] == 3
    assert not (source / "models").exists()


def test_a_taken_port(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="give another --port"):
            check_port("127.0.0.1", taken.getsockname()[1])


def test_no_monai_label(
    tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle(tmp_path / "bundles")
    monkeypatch.setattr(launch.importlib.util, "find_spec", lambda name: None)
    arguments = ["--studies", str(images), "--bundles", NAME, "--collection", str(tmp_path / "bundles"), "--port", "0"]
    assert program.main(arguments) == 2
    assert "requirements/label.txt" in capsys.readouterr().err


def test_everything_stays_in_the_workspace_and_on_this_machine(tmp_path: Path) -> None:
    settings = Settings(tmp_path / "app", "studies", ["a_segmentation", "b_detection"])
    folders = {name: text for name, text in environment(settings).items() if name.endswith(("PATH", "TMPDIR"))}
    assert len(folders) == 3
    assert all(Path(text).parent == tmp_path for text in folders.values())
    line = " ".join(command(settings))
    assert "--host 127.0.0.1" in line
    assert "--conf models a_segmentation,b_detection" in line
    assert "--conf zoo_source local --conf sam2 false" in line


class _Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path.startswith("/dicom-web/studies") else 404)
        self.end_headers()
        self.wfile.write(b"[]")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def dicomweb() -> Iterator[str]:
    with http.server.HTTPServer(("127.0.0.1", 0), _Answer) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{web.server_port}"
        web.shutdown()


def test_a_dicomweb_server_is_asked(dicomweb: str) -> None:
    assert check_studies(f"{dicomweb}/dicom-web/") == f"{dicomweb}/dicom-web"
    with pytest.raises(ConnectionError, match="does not answer as a DICOMweb"):
        check_studies(f"{dicomweb}/elsewhere")
    with pytest.raises(ConnectionError, match="does not answer as a DICOMweb"):
        check_studies("http://127.0.0.1:9/dicom-web")


def test_a_broken_bundle_is_not_copied_half(tmp_path: Path) -> None:
    source = bundle(tmp_path / "bundles")
    shutil.rmtree(source / "docs")
    with pytest.raises(OSError, match="docs"):
        stage(choose([NAME], tmp_path / "bundles", {}), tmp_path / "app")
    assert not list((tmp_path / "app").rglob("model.pt"))
