"""MONAI Label's own monaibundle app takes the bundles as well."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import pytest
import requests
from nibabel.processing import resample_from_to
from packages import BUNDLES, SCANNED
from running import free_port, running
from test_server import CLASSIFIERS, DETECTORS, PROMPTED, SEGMENTERS, ask, picture_of, volume_of

STOCK = (sys.executable, "-m", "monailabel.main")
pytestmark = pytest.mark.slow
SERVED = [name for name in BUNDLES if not name.endswith("_embedding")]


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory, studies: Path, packaged: Path) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("stock")
    app, images, port = folder / "monaibundle", folder / "studies", free_port()
    shutil.copytree(Path(sys.prefix) / "monailabel" / "sample-apps" / "monaibundle", app)
    shutil.copytree(studies, images, ignore=shutil.ignore_patterns("labels", "*.json", "linked.png"))
    for name in SERVED:
        shutil.copytree(packaged / name, app / "model" / name)
    command = [
        *(*STOCK, "start_server", "--app", str(app), "--studies", str(images)),
        *("--conf", "models", ",".join(SERVED), "--conf", "zoo_source", "local", "--conf", "sam2", "false"),
        *("--host", "127.0.0.1", "--port", str(port)),
    ]
    with running(command, f"http://127.0.0.1:{port}/info/", folder / "log.txt", cwd=folder) as address:
        yield address.removesuffix("/info/")


@pytest.mark.parametrize("model", SEGMENTERS)
def test_a_mask_lies_on_the_picture(stock: str, server: str, model: str) -> None:
    mask, ours = (picture_of(ask(address, model, "colour")) for address in (stock, server))
    assert mask.shape == (80, 100)
    assert (mask == ours).mean() > 0.98


@pytest.mark.parametrize("model", SCANNED)
def test_a_mask_lies_on_the_volume(stock: str, server: str, studies: Path, tmp_path: Path, model: str) -> None:
    image = nibabel.load(studies / "volume.nii.gz")
    mask = volume_of(ask(stock, model, "volume"), tmp_path)
    ours = volume_of(ask(server, model, "volume"), tmp_path, "ours.nii.gz")
    placed = resample_from_to(mask, image, order=0)
    assert (np.asarray(placed.dataobj) == np.asarray(ours.dataobj)).mean() > 0.99


@pytest.mark.parametrize("model", CLASSIFIERS)
def test_classes_come_as_scores(stock: str, model: str) -> None:
    answer = ask(stock, model, "colour", output="json")
    assert answer.status_code == 200, answer.text
    assert all(0 <= entry["score"] <= 1 for entry in answer.json()["prediction"])


@pytest.mark.parametrize("model", DETECTORS)
def test_boxes_come_as_json(stock: str, model: str) -> None:
    answer = ask(stock, model, "colour", output="json", output_format="json")
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["box"]) == len(answer.json()["label"])


def test_a_click_is_answered(stock: str) -> None:
    answer = ask(stock, PROMPTED, "colour", foreground=[[50, 40, 0]], background=[])
    assert picture_of(answer).shape == (80, 100)


def test_all_are_listed(stock: str) -> None:
    assert requests.get(f"{stock}/info/", timeout=60).json()["models"].keys() == set(SERVED)
