"""Requests that are wrong, images that are damaged, pages that are foreign: each has an answer that says so."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import requests
from PIL import Image
from running import label_server

from tests.apps.label.images import write_images
from tests.apps.label.known import bright_box, brighter_than_half, four_means, mean_brightness, spoilt

pytestmark = pytest.mark.slow
SKIN, CT = "skin_lesion_dermoscopy_segmentation", "abdominal_organ_ct_segmentation"
EYES, POLYPS = "diabetic_retinopathy_fundus_classification", "colon_polyp_endoscopy_detection"
BROKEN, BLIND = f"broken_{SKIN}", f"blind_{POLYPS}"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    write_images(folder, tmp_path_factory.mktemp("elsewhere"))
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, images: Path) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("known")
    for name in (SKIN, CT, BROKEN):
        brighter_than_half(folder, name)
    mean_brightness(folder, EYES, 5)
    for name in (POLYPS, BLIND):
        bright_box(folder, name)
    spoilt(folder / BROKEN)
    spoilt(folder / BLIND)
    four_means(folder)
    names = ",".join(sorted(path.name for path in folder.iterdir()))
    arguments = ["--studies", str(images), "--collection", str(folder), "--bundles", names]
    with label_server([*arguments, "--workspace", str(folder / "workspace")], folder / "log.txt") as address:
        yield address


def ask(server: str, model: str, image: str, output: str = "image", params: Any = None) -> requests.Response:
    text = params if isinstance(params, str) else json.dumps(params or {})
    query = {"image": image, "output": output}
    return requests.post(f"{server}/infer/{model}", params=query, data={"params": text}, timeout=300)


def share(answer: requests.Response, folder: Path) -> float:
    """How much of a mask is of the first class."""
    assert answer.status_code == 200, answer.text
    if answer.content[:2] != b"\x1f\x8b":  # no .nii.gz
        return float((np.asarray(Image.open(BytesIO(answer.content))) == 1).mean())
    (folder / "mask.nii.gz").write_bytes(answer.content)
    return float((np.asarray(nibabel.load(folder / "mask.nii.gz").dataobj) == 1).mean())


def next_of(server: str, **params: Any) -> requests.Response:
    return requests.post(f"{server}/activelearning/diverse_uncertain", json=params, timeout=300)


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1.evil.example"]
)
@pytest.mark.parametrize("path", ["/batch/infer/{0}?images=unlabeled", "/train/{0}", "/infer/{0}?image=half", "/info/"])
def test_a_page_of_another_site_starts_nothing(server: str, origin: str, path: str) -> None:
    headers = {"Origin": origin, "Content-Type": "text/plain"}
    answer = requests.request(
        "get" if path == "/info/" else "post", server + path.format(SKIN), headers=headers, timeout=60
    )
    assert answer.status_code == 403
    for task in ("batch/infer", "train/"):
        assert requests.get(f"{server}/{task}", timeout=60).status_code == 404, "a task was started"


def test_the_servers_own_pages_may_ask(server: str, tmp_path: Path) -> None:
    for origin in (server, server.replace("127.0.0.1", "localhost")):
        answer = requests.post(
            f"{server}/infer/{SKIN}?image=half&output=image", headers={"Origin": origin}, timeout=300
        )
        assert share(answer, tmp_path) == pytest.approx(0.5, abs=0.02)


def test_links_out_of_the_studies_are_not_there(server: str, images: Path) -> None:
    held = requests.get(f"{server}/datastore/?output=all", timeout=60).json()["objects"]
    assert sorted(held) == ["capital", "cine", "cut", "deep", "half", "holes", "noise", "scan", "share"]
    assert requests.get(f"{server}/datastore/image?image=linked", timeout=60).status_code == 404
    assert ask(server, SKIN, "linked", "json").status_code == 404
    assert requests.get(f"{server}/datastore/label?label=noise&tag=final", timeout=60).status_code == 404
    assert requests.get(f"{server}/datastore/?output=train", timeout=60).json() == []
    assert requests.get(f"{server}/datastore/", timeout=60).json()["completed"] == 0
    packed = requests.get(f"{server}/datastore/dataset", timeout=60)
    assert (packed.status_code, "nothing to pack" in packed.text) == (404, True)


def test_nothing_is_written_through_a_link(server: str, images: Path) -> None:
    secret = (images / "linked.png").resolve()
    before = secret.read_bytes()
    file = {"file": ("x.png", (images / "noise.png").read_bytes())}
    label = {"label": ("x.png", (images / "noise.png").read_bytes())}
    assert requests.put(f"{server}/datastore/image?image=linked", files=file, timeout=60).status_code == 404
    assert requests.put(f"{server}/datastore/label?image=noise", files=label, timeout=60).status_code == 404
    assert requests.delete(f"{server}/datastore/image?id=linked", timeout=60).status_code == 404
    assert secret.read_bytes() == before


def test_what_is_sent_must_be_an_image(server: str, images: Path) -> None:
    notes = (images / "datastore_v2.json").read_bytes()
    sent = requests.put(f"{server}/datastore/image?image=datastore_v2", files={"file": ("x.json", b"{}")}, timeout=60)
    assert sent.status_code == 404
    assert "must end in" in sent.text
    assert (images / "datastore_v2.json").read_bytes() == notes


def test_pixels_that_are_not_finite_do_not_empty_the_mask(server: str, tmp_path: Path) -> None:
    whole, holes = (share(ask(server, CT, name), tmp_path) for name in ("scan", "holes"))
    assert whole == pytest.approx(30 * 30 / 64**2, abs=0.02)
    assert whole - 0.002 < holes < whole


@pytest.mark.parametrize(("model", "output"), [(BROKEN, "image"), (BLIND, "json")])
def test_a_network_without_an_answer_is_not_taken_for_one_that_finds_nothing(
    server: str, model: str, output: str
) -> None:
    answer = ask(server, model, "half", output)
    assert answer.status_code == 422, answer.text
    assert "not finite" in answer.text


@pytest.mark.parametrize("image", ["half", "deep", "share", "capital"])
def test_a_deep_picture_is_answered_as_one_of_eight_bits(server: str, tmp_path: Path, image: str) -> None:
    assert share(ask(server, SKIN, image), tmp_path) == pytest.approx(0.5, abs=0.02)
    scores = [ask(server, EYES, name, "json").json()["prediction"][0]["score"] for name in ("half", image)]
    assert scores[0] == pytest.approx(scores[1], abs=0.01)


@pytest.mark.parametrize(("image", "reason"), [("cut", "cannot decode"), ("cine", "holds 2 stacks")])
def test_an_image_that_cannot_be_read(server: str, image: str, reason: str) -> None:
    for model, output in ((SKIN, "image"), (EYES, "json"), (POLYPS, "json")):
        answer = ask(server, model, image, output)
        assert answer.status_code == 422, answer.text
        if (model, image) != (POLYPS, "cine"):  # boxes are read by another reader
            assert reason in answer.json()["detail"]


def test_active_learning_leaves_out_what_cannot_be_read(server: str) -> None:
    answer = next_of(server, model=SKIN)
    assert answer.status_code == 200, answer.text
    assert answer.json()["id"] not in {"cut", "cine", "linked"}


def test_a_batch_leaves_out_what_cannot_be_read(server: str) -> None:
    answer = requests.post(
        f"{server}/batch/infer/{SKIN}?run_sync=true", json={"images": ["cut", "half"], "device": "cpu"}, timeout=300
    )
    assert answer.status_code == 200, answer.text
    assert "cannot decode" in answer.json()["cut"]["error"]
    assert answer.json()["half"]["params"]["label_names"] == {"lesion": 1}


@pytest.mark.parametrize(
    ("model", "status", "reason"),
    [
        (EYES, 200, ""),
        (POLYPS, 404, "segments or classifies"),
        ("absent", 404, "segments or classifies"),
        (BROKEN, 422, "can be read"),
    ],
)
def test_only_probabilities_have_an_uncertainty(server: str, model: str, status: int, reason: str) -> None:
    answer = next_of(server, model=model)
    assert answer.status_code == status, answer.text
    assert reason in answer.text


@pytest.mark.parametrize(
    ("params", "status", "reason"),
    [
        ("{", 422, "this is no JSON"),
        ("[1]", 422, "must be a JSON object"),
        ('"half"', 422, "must be a JSON object"),
        ({"image": [[1, 2], [3, 4]]}, 404, "name of one image"),
        ({"image": None}, 404, "name of one image"),
        ({"skip_writer": True}, 404, "skip_writer"),
        ({"device": 5}, 404, "device must be text"),
        ({"device": "$print(1)"}, 404, "device must be text"),
        ({"image_meta_dict": {}}, 404, "set by the server alone"),
        ({"pred": [1]}, 404, "set by the server alone"),
        ({"model_filename": []}, 404, "model_filename is empty"),
        ({"model_filename": "nope.pt"}, 404, "there are: model.pt"),
        ({"model_filename": ["nope.pt"]}, 404, "there are: model.pt"),
        ({"result_dtype": "junk"}, 422, "junk"),
    ],
    ids=str,
)
def test_parameters_that_mean_nothing(server: str, params: Any, status: int, reason: str) -> None:
    answer = ask(server, SKIN, "half", params=params)
    assert answer.status_code == status, answer.text
    assert reason in answer.json()["detail"]


def test_weights_that_are_there_may_be_named(server: str, tmp_path: Path) -> None:
    for name in ("model.pt", ["model.pt"]):
        assert share(ask(server, SKIN, "half", params={"model_filename": name}), tmp_path) == pytest.approx(
            0.5, abs=0.02
        )


CODE = "cpu') if not __import__('os').system('touch {0}') else torch.device('cpu"


@pytest.mark.parametrize("path", ["/train/{0}", "/batch/infer/{0}", "/activelearning/diverse_uncertain"])
@pytest.mark.parametrize(
    ("name", "value"), [("device", CODE), ("device", "$__import__('os').system('touch {0}')"), ("device", ["cpu"])]
)
def test_parameters_are_no_code(server: str, tmp_path: Path, path: str, name: str, value: Any) -> None:
    value = value.format(tmp_path / "run") if isinstance(value, str) else value
    answer = requests.post(server + path.format(SKIN), json={"model": SKIN, name: value}, timeout=60)
    assert (answer.status_code, "device must be text" in answer.text) == (404, True), answer.text
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"tracking": "mlflow", "tracking_uri": "http://127.0.0.1:9"}, "tracking is switched off"),
        ({"max_epochs": "$print(1)"}, "max_epochs must be"),
        ({"bundle_path": "/tmp"}, "set by the server alone"),
        ({"gpus": [0]}, "gpus must be"),
        ({"model_filename": "nope.pt"}, "there are: model.pt"),
        ({"model": EYES}, "no model that learns"),
    ],
    ids=str,
)
def test_a_training_is_refused_before_it_starts(server: str, params: dict[str, Any], reason: str) -> None:
    answer = requests.post(f"{server}/train/{SKIN}", json=params, timeout=60)
    assert (answer.status_code, reason in answer.text) == (404, True), answer.text
    assert requests.get(f"{server}/train/", timeout=60).status_code == 404, "a task was started"


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("post", f"/infer/{EYES}?image=half&output=image", 422, f"{EYES}_overlay"),
        ("post", f"/infer/{SKIN}", 422, "no image"),
        ("post", f"/infer/{SKIN}?image=half&output=dicom_seg", 422, "DICOM series"),
        ("post", f"/infer/{SKIN}?session_id=absent", 404, "no image"),
        ("get", "/proxy/dicom/wado/studies", 502, "Invalid URL"),
        ("delete", "/datastore/image?id=absent", 404, "no image"),
        ("put", "/datastore/image/info?image=absent", 404, "not found"),
        ("put", f"/datastore/?image={'a' * 300}", 404, "at most 200 bytes"),
        pytest.param(
            *("get", "/logs/gpu", 404, "nvidia-smi is not there"),
            marks=pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="there is an nvidia-smi"),
        ),
    ],
)
def test_requests_without_an_answer(server: str, method: str, path: str, status: int, reason: str) -> None:
    answer = requests.request(method, server + path, timeout=60)
    assert answer.status_code == status, answer.text
    assert reason in answer.json()["detail"]


def test_training_does_not_clip_a_deep_picture(server: str, images: Path) -> None:
    label = {"label": ("x.png", (images / "half.png").read_bytes())}
    saved = requests.put(f"{server}/datastore/label?image=deep", files=label, timeout=60)
    assert saved.status_code == 200, saved.text
    started = requests.post(f"{server}/train/{SKIN}", json={"max_epochs": 1, "device": "cpu"}, timeout=60)
    assert started.status_code == 200, started.text
    end = time.monotonic() + 240
    while (status := requests.get(f"{server}/train/", timeout=60).json())["status"] in {"RUNNING", "SUBMITTED"}:
        assert time.monotonic() < end, "the training does not end"
        time.sleep(1)
    assert status["status"] == "ERROR", status
    assert "deep.png holds values of 0 to 51000" in "\n".join(status["details"])
