"""A server that is stopped in the middle of its work leaves neither files nor programs behind."""

from __future__ import annotations

import signal
import time
from io import BytesIO
from pathlib import Path

import numpy as np
import psutil
import pytest
import requests
from PIL import Image
from running import label_server

from tests.apps.label.known import brighter_than_half

pytestmark = pytest.mark.slow
SKIN = "skin_lesion_dermoscopy_segmentation"


def picture() -> bytes:
    file = BytesIO()
    Image.fromarray(np.eye(40, dtype=np.uint8)).save(file, format="png")
    return file.getvalue()


@pytest.mark.parametrize(
    ("number", "kept"),
    [(signal.SIGTERM, True), (signal.SIGHUP, False), (signal.SIGINT, False)],
    ids=["terminated", "terminal closed", "interrupted"],
)
def test_a_training_ends_with_its_server(tmp_path: Path, number: signal.Signals, kept: bool) -> None:
    (tmp_path / "images" / "labels" / "final").mkdir(parents=True)
    for folder in ("images", "images/labels/final"):
        (tmp_path / folder / "a.png").write_bytes(picture())
    bundle = brighter_than_half(tmp_path / "bundles", SKIN)
    arguments = ["--studies", str(tmp_path / "images"), "--bundles", str(bundle)]
    arguments += ["--workspace", str(tmp_path / "workspace")] if kept else []
    others = set(psutil.Process().children(recursive=True))  # servers of other tests
    with label_server(arguments, tmp_path / "log.txt", stop=number) as server:
        for _ in range(2):  # the second waits for the first
            asked = {"max_epochs": 1000, "device": "cpu"}
            started = requests.post(f"{server}/train/{SKIN}?enqueue=true", json=asked, timeout=60)
            assert started.status_code == 200, started.text
        end = time.monotonic() + 60
        while not list(tmp_path.glob(f"**/app/model/{SKIN}/runs/label")):
            assert time.monotonic() < end, "the training does not start"
            time.sleep(0.2)
        programs = set(psutil.Process().children(recursive=True)) - others
        assert any("train" in program.cmdline() for program in programs)
    assert not [program for program in programs if program.is_running()]
    assert (tmp_path / "workspace" / "app").is_dir() is kept
    assert not (tmp_path / "workspace" / "received").exists()
