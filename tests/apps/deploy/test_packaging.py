"""The packaging folder: complete, checked, taken by the packager without docker, and running as a container would."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from lvm_med_monai.apps.deploy.packaging import APPLICATIONS, check_folder, main, make_folder
from lvm_med_monai.apps.deploy.problems import DeployError
from tests.apps.deploy.known import threshold_bundle
from tests.apps.deploy.reading import dice
from tests.apps.deploy.scenes import volume

needs_sdk = pytest.mark.skipif(
    find_spec("holoscan") is None,
    reason="MONAI Deploy's App SDK is missing: it needs a venv of its own, see requirements/deploy.txt",
)
HOLOSCAN = "4.2.0"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder("slice_segmentation", threshold_bundle(tmp_path / "threshold"), tmp_path / "package")


@pytest.mark.parametrize("application", APPLICATIONS)
def test_folder_of_every_application_is_complete(application: str, tmp_path: Path) -> None:
    made = make_folder(application, threshold_bundle(tmp_path / "threshold"), tmp_path / "package")
    assert check_folder(made) == []
    assert not list(made.rglob("__pycache__"))


def test_only_parts_of_the_bundle_and_weights_are_copied(tmp_path: Path) -> None:
    bundle = threshold_bundle(tmp_path / "threshold")
    outside = tmp_path / "patient.nii.gz"
    outside.write_bytes(b"x")
    for name in ("docs/README.md", "LICENSE", "eval/smith.png", "data/smith.nii.gz", "models/epoch_3.pt", "notes.txt"):
        (bundle / name).parent.mkdir(exist_ok=True)
        (bundle / name).write_text("x")
    (bundle / "runs").symlink_to(outside)
    weights = bundle / "models" / "model.pt"
    weights.rename(tmp_path / "trained.pt")
    weights.symlink_to(tmp_path / "trained.pt")
    models = make_folder("slice_segmentation", bundle, tmp_path / "package") / "models"
    copied = {str(path.relative_to(models / "threshold")) for path in models.rglob("*") if path.is_file()}
    configs = {"configs/inference.json", "configs/metadata.json"}
    assert copied == {"LICENSE", "docs/README.md", "models/model.pt"} | configs
    assert not [path for path in models.rglob("*") if path.is_symlink()]


@pytest.mark.parametrize("name", ["configs/extra.json", "docs"])
def test_a_part_that_is_a_link_is_refused(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = threshold_bundle(tmp_path / "threshold")
    (tmp_path / "elsewhere").mkdir()
    (bundle / name).symlink_to(tmp_path / "elsewhere")
    assert main(["slice_segmentation", str(tmp_path / "package"), "--bundle", str(bundle)]) == 1
    assert f"{name} of the bundle is a link" in capsys.readouterr().err
    assert not (tmp_path / "package").exists()


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def write(name: str, text: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_text(text)


def unpin(folder: Path) -> None:
    path = folder / "app" / "requirements.txt"
    path.write_text(path.read_text().replace("holoscan-cu13==4.2.0", "holoscan-cu13"))


def second_bundle(folder: Path) -> None:
    shutil.copytree(folder / "models" / "threshold", folder / "models" / "other")


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        pytest.param(remove("app/__main__.py"), "__main__.py is missing", id="entry"),
        pytest.param(write("app/__main__.py", "def"), "no Python", id="syntax"),
        pytest.param(remove("app/app.yaml"), "app.yaml is missing", id="config"),
        pytest.param(write("app/app.yaml", "application: {title: T, version: 0.1.0}"), "input-formats", id="formats"),
        pytest.param(write("app/app.yaml", "application: {title: T, version: 9.9}"), "version 9.9", id="version"),
        pytest.param(remove("app/requirements.txt"), "requirements.txt is missing", id="requirements"),
        pytest.param(unpin, "does not pin holoscan-cu13", id="unpinned"),
        pytest.param(remove("models/threshold/models/model.pt"), "neither models/model.pt", id="weights"),
        pytest.param(second_bundle, "holds 2 bundles", id="two_bundles"),
        pytest.param(lambda folder: shutil.rmtree(folder / "app/lvm_med_monai"), "no index has", id="package"),
        pytest.param(write("models/smith.png", ""), "smith.png is no part of a bundle; remove it", id="beside"),
        pytest.param(lambda f: (f / "models/threshold/eval").mkdir(), "threshold/eval is no part", id="results"),
        pytest.param(write("models/threshold/models/epoch_3.pt", ""), "epoch_3.pt is no part", id="other_weights"),
        pytest.param(
            lambda f: (f / "models/threshold/configs/a.json").symlink_to("/tmp"), "a.json is no part", id="link"
        ),
    ],
)
def test_what_is_missing_is_named(spoil: Callable[[Path], Any], fault: str, folder: Path) -> None:
    spoil(folder)
    assert [found for found in check_folder(folder) if fault in found]


def test_a_bundle_without_weights_leaves_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = threshold_bundle(tmp_path / "threshold")
    (bundle / "models" / "model.pt").unlink()
    assert main(["slice_segmentation", str(tmp_path / "package"), "--bundle", str(bundle)]) == 1
    assert "neither models/model.pt nor models/model.ts" in capsys.readouterr().err
    assert not (tmp_path / "package").exists()


def test_an_existing_folder_is_left_alone(folder: Path) -> None:
    with pytest.raises(DeployError, match="exists"):
        make_folder("slice_segmentation", folder / "models" / "threshold", folder)
    assert check_folder(folder) == []


def sources(path: Path) -> Path:
    """What the packager would download: names of images that nothing here pulls."""
    images = {
        "x64-workstation": "image",
        "igx-orin-devkit": "image",
        "jetson-agx-orin-devkit": "image",
        "sbsa": "image",
    }
    holoscan = {
        "wheel-version": HOLOSCAN,
        "debian-version": HOLOSCAN,
        "base-images": {"dgpu": "image", "igpu": "image", "cpu": "image"},
        "build-images": {"dgpu": images, "igpu": images, "cpu": images},
    }
    probes = {"linux/amd64": "https://example.org/probe", "linux/arm64": "https://example.org/probe"}
    path.write_text(json.dumps({HOLOSCAN: {"holoscan": holoscan, "health-probes": probes}}))
    return path


@needs_sdk
def test_packager_takes_the_folder(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything but docker: its calls are replaced, and what it would have been given is kept."""
    from holoscan_cli import __main__ as command
    from holoscan_cli.packager import container_builder

    context = tmp_path / "context"
    monkeypatch.setattr(container_builder, "create_and_get_builder", lambda name: None)
    monkeypatch.setattr(
        container_builder, "build_docker_image", lambda **call: shutil.copytree(call["context_path"], context)
    )
    arguments = ["package", str(folder / "app"), "-c", str(folder / "app" / "app.yaml"), "-m", str(folder / "models")]
    options = [
        "--sdk",
        "monai-deploy",
        "-t",
        "lvm:1.0",
        "--platform",
        "x86_64",
        "--source",
        str(sources(tmp_path / "s.json")),
    ]
    monkeypatch.setattr(sys, "argv", ["monai-deploy", *arguments, *options])
    command.main(["monai-deploy", *arguments, *options])
    manifest = json.loads((context / "map" / "app.json").read_text())
    assert manifest["command"] == '["python3", "/opt/holoscan/app"]'
    assert manifest["input"]["formats"] == ["DICOM series, one folder"]
    assert manifest["output"]["formats"] == ["DICOM SEG"]
    package = json.loads((context / "map" / "pkg.json").read_text())
    assert package["models"] == {"threshold": "/opt/holoscan/models/threshold"}
    assert package["resources"] == {"cpu": 1, "gpu": 0, "memory": "8Gi"}
    assert "holoscan-cu13==4.2.0" in (context / "pip" / "requirements.txt").read_text()
    assert (context / "models" / "threshold" / "models" / "model.pt").is_file()
    assert (context / "app" / "lvm_med_monai" / "apps" / "deploy" / "application.py").is_file()
    assert "COPY ./app /opt/holoscan/app" in (context / "Dockerfile").read_text()


@needs_sdk
@pytest.mark.slow
def test_folder_runs_as_a_container_runs_it(folder: Path, tmp_path: Path) -> None:
    scene = volume(tmp_path / "series")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {
        "HOLOSCAN_INPUT_PATH": str(scene.folder),
        "HOLOSCAN_MODEL_PATH": str(folder / "models"),
        "HOLOSCAN_OUTPUT_PATH": str(tmp_path / "out"),
    }
    ended = subprocess.run(
        [sys.executable, str(folder / "app")],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=environment,
    )
    assert ended.returncode == 0, ended.stderr
    assert dice(list((tmp_path / "out").iterdir()), scene.truth) >= 0.999
