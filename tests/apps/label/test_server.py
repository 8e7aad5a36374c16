"""A real server, started offline with every bundle: answers lie on the image's own grid, and nothing else is served."""

from __future__ import annotations

import json
import os
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import requests
from packages import BUNDLES, IN_MR, SCANNED
from PIL import Image

SEGMENTERS = [name for name in BUNDLES if name.endswith("_segmentation")]
CLASSIFIERS = [name for name in BUNDLES if name.endswith("_classification")]
DETECTORS = [name for name in BUNDLES if name.endswith("_detection")]
LEARNT_FROM_SCANS = (*SCANNED, "lung_heart_xray_segmentation")
PROMPTED = "slice_deepgrow_annotation"
pytestmark = pytest.mark.slow
TRAINED = "colon_polyp_endoscopy_segmentation"


def ask(server: str, model: str, image: str, /, output: str = "image", **params: Any) -> requests.Response:
    query = {"image": image, "output": output}
    return requests.post(f"{server}/infer/{model}", params=query, data={"params": json.dumps(params)}, timeout=300)


def volume_of(answer: requests.Response, folder: Path, name: str = "mask.nii.gz") -> nibabel.Nifti1Image:
    assert answer.status_code == 200, answer.text
    (folder / name).write_bytes(answer.content)
    return nibabel.load(folder / name)


def picture_of(answer: requests.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(BytesIO(answer.content)))


def dice(first: np.ndarray, second: np.ndarray) -> float:
    """Smallest Dice of the classes that either shows."""
    classes = [value for value in np.unique(np.concatenate([first.ravel(), second.ravel()])) if value]
    assert classes, "the masks are empty"
    pairs = [(first == value, second == value) for value in classes]
    return min(2 * (a & b).sum() / (a.sum() + b.sum()) for a, b in pairs)


def test_every_bundle_is_offered_with_the_dimension_of_its_answers(server: str) -> None:
    models = requests.get(f"{server}/info/", timeout=60).json()["models"]
    overlays = {f"{name}_overlay" for name in CLASSIFIERS + DETECTORS}
    assert models.keys() == {*SEGMENTERS, *CLASSIFIERS, *DETECTORS, PROMPTED, *overlays}
    assert {name: model["dimension"] for name, model in models.items() if model["dimension"] != 3} == {PROMPTED: 2}
    kinds = {name: model["type"] for name, model in models.items()}
    assert {kinds[name] for name in [*SEGMENTERS, *overlays]} == {"segmentation"}
    assert {kinds[name] for name in CLASSIFIERS} == {"classification"}
    assert {kinds[name] for name in DETECTORS} == {"detection"}
    assert kinds[PROMPTED] == "deepgrow"


@pytest.mark.parametrize("model", SEGMENTERS)
def test_a_mask_of_a_picture_has_its_pixels(server: str, studies: Path, model: str) -> None:
    for image in ("grey", "colour"):
        mask = picture_of(ask(server, model, image))
        assert mask.shape == (80, 100)
        assert mask.dtype == np.uint8
    assert model in LEARNT_FROM_SCANS or len(np.unique(mask)) > 1  # a micrograph means nothing to them


@pytest.mark.parametrize("model", SEGMENTERS)
def test_a_mask_of_a_volume_lies_on_its_voxels_however_it_is_stored(
    server: str, studies: Path, tmp_path: Path, model: str
) -> None:
    name = "brain" if model in IN_MR else "volume"
    image = nibabel.load(studies / f"{name}.nii.gz")
    mask = volume_of(ask(server, model, name), tmp_path)
    assert mask.shape == image.shape
    np.testing.assert_allclose(mask.affine, image.affine, atol=1e-4)
    other = volume_of(ask(server, model, f"{name}_flipped"), tmp_path, "other.nii.gz")
    np.testing.assert_allclose(other.affine, nibabel.load(studies / f"{name}_flipped.nii.gz").affine, atol=1e-4)
    assert dice(np.asarray(mask.dataobj), np.asarray(other.dataobj)[::-1]) >= 0.95
    assert dice(np.asarray(mask.dataobj), np.asarray(other.dataobj)) < 0.95, "a mirrored mask would have passed"


def test_a_mask_of_a_lossy_picture_is_not_lossy(server: str, studies: Path) -> None:
    answer = ask(server, SEGMENTERS[0], "lossy")
    assert answer.content[:4] == b"\x89PNG"


def test_a_picture_that_is_not_in_the_studies_can_be_sent(server: str, studies: Path) -> None:
    with (studies / "colour.png").open("rb") as file:
        answer = requests.post(f"{server}/infer/{SEGMENTERS[0]}?output=image", files={"file": file}, timeout=300)
    np.testing.assert_array_equal(picture_of(answer), picture_of(ask(server, SEGMENTERS[0], "colour")))


@pytest.mark.parametrize("image", ["colour", "slice"])
@pytest.mark.parametrize("model", CLASSIFIERS)
def test_classes_come_as_scores_as_a_note_and_as_a_frame(
    server: str, studies: Path, tmp_path: Path, model: str, image: str
) -> None:
    answer = ask(server, model, image, output="json")
    assert answer.status_code == 200, answer.text
    scores = {entry["label"]: entry["score"] for entry in answer.json()["prediction"]}
    names = requests.get(f"{server}/info/", timeout=60).json()["models"][model]["labels"]
    assert scores.keys() == names.keys()
    assert all(0 <= score <= 1 for score in scores.values())
    noted = requests.get(f"{server}/datastore/image/info", params={"image": image}, timeout=60).json()
    assert noted["classification"][model] == pytest.approx(scores, abs=1e-4)

    drawn = ask(server, f"{model}_overlay", image)
    mask = picture_of(drawn) if image == "colour" else np.asarray(volume_of(drawn, tmp_path).dataobj)[..., 0].T
    if model == "chest_finding_xray_classification":  # findings do not exclude one another
        shown = [name for name in names if scores[name] > 0.5]
    else:
        shown = [max(scores, key=lambda name: scores[name])]
    assert set(np.unique(mask)) == {0, *(names[name] + 1 for name in shown)}
    assert mask[0, 0] == (names[shown[0]] + 1 if shown else 0)
    assert mask[len(mask) // 2, mask.shape[1] // 2] == 0


@pytest.mark.parametrize("model", DETECTORS)
def test_boxes_come_as_json_as_markups_and_as_outlines(server: str, studies: Path, tmp_path: Path, model: str) -> None:
    boxes = ask(server, model, "slice", output="json").json()["boxes"]
    assert boxes
    shape = nibabel.load(studies / "slice.nii.gz").shape
    for box in boxes:
        x1, y1, x2, y2 = box["box"]
        assert 0 <= x1 < x2 <= shape[0]
        assert 0 <= y1 < y2 <= shape[1]
        assert 0 < box["score"] <= 1
    markups = ask(server, model, "slice").json()["markups"]
    assert len(markups) == len(boxes)
    drawn = volume_of(ask(server, f"{model}_overlay", "slice"), tmp_path)
    assert drawn.shape == shape
    assert np.asarray(drawn.dataobj).any()
    lps = np.diag([-1, -1, 1, 1]) @ nibabel.load(studies / "slice.nii.gz").affine
    corner = np.linalg.solve(lps, [*np.subtract(markups[0]["center"], 0), 1])[:2]
    assert (corner >= -1).all()
    assert (corner <= np.array(shape[:2]) + 1).all()


def test_a_click_and_a_box_mark_their_slice_alone(server: str, studies: Path, tmp_path: Path) -> None:
    for prompt in ({"foreground": [[60, 50, 2]], "background": []}, {"roi": [30, 80, 20, 70, 2, 2], "slice": 2}):
        mask = volume_of(ask(server, PROMPTED, "volume", **prompt), tmp_path)
        assert mask.shape == nibabel.load(studies / "volume.nii.gz").shape
        filled = np.asarray(mask.dataobj).any(axis=(0, 1))
        np.testing.assert_array_equal(np.flatnonzero(filled), [2])


def test_no_prompt_gives_an_empty_mask(server: str, tmp_path: Path) -> None:
    mask = volume_of(ask(server, PROMPTED, "volume", foreground=[], background=[]), tmp_path)
    assert not np.asarray(mask.dataobj).any()


def test_a_click_outside_the_image_is_refused(server: str) -> None:
    answer = ask(server, PROMPTED, "volume", foreground=[[999, 0, 0]])
    assert answer.status_code == 422
    assert "outside" in answer.text or "999" in answer.text


def test_a_click_on_a_picture_is_answered(server: str) -> None:
    assert picture_of(ask(server, PROMPTED, "grey", foreground=[[50, 40, 0]])).shape == (80, 100)


def test_a_volume_is_refused_by_what_reads_pictures(server: str) -> None:
    answer = ask(server, CLASSIFIERS[0], "volume", output="json")
    assert answer.status_code == 422
    assert "slice" in answer.text


@pytest.mark.parametrize("strategy", ["random", "first", "diverse_uncertain"])
def test_active_learning_offers_an_image(server: str, strategy: str) -> None:
    params = {"model": SEGMENTERS[0]} if strategy == "diverse_uncertain" else {}
    answer = requests.post(f"{server}/activelearning/{strategy}", json=params, timeout=300)
    assert answer.status_code == 200, answer.text
    chosen = answer.json()
    assert chosen["id"]
    if strategy == "diverse_uncertain":
        assert chosen["slice"] >= 0
        assert 0 <= chosen["uncertainty"] <= 1


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("post", "/infer/{model}?image=linked&output=json"),
        ("post", "/infer/{model}?image=/etc/hostname"),
        ("post", "/infer/{model}?image=../grey"),
        ("post", "/infer/{model}?image=..%2Fgrey"),
        ("post", "/infer/{model}?image=absent"),
        ("post", "/infer/not_served?image=grey"),
        ("post", "/infer/slice_embedding?image=grey"),
        ("post", "/train/not_served"),
        ("post", "/batch/infer/not_served"),
        ("post", "/activelearning/not_there"),
        ("get", "/model/not_served"),
        ("get", "/datastore/image?image=../../etc/hostname"),
        ("get", "/datastore/label?label=grey&tag=../.."),
        ("get", "/session/..%2F..%2Fetc"),
        ("put", "/session/?uncompress=true"),
        ("get", "/proxy/dicom/wado/%2E%2E/%2E%2E/instances"),
    ],
)
def test_what_is_not_served_is_refused(server: str, method: str, path: str) -> None:
    answer = requests.request(method, server + path.format(model=SEGMENTERS[0]), timeout=60)
    assert answer.status_code == 404, answer.text


@pytest.mark.parametrize(
    "params",
    [
        {"image": "/etc/hostname"},
        {"model": "not_served"},
        {"model_filename": "../../other.pt"},
        {"result_extension": "/../../x.nii.gz"},
        {"label_tag": "../../../escape"},
        {"label": "/etc/hostname"},
    ],
    ids=lambda params: next(iter(params)),
)
def test_parameters_cannot_lead_elsewhere(server: str, params: dict[str, str]) -> None:
    assert ask(server, SEGMENTERS[0], "grey", **params).status_code == 404


def test_a_label_cannot_be_saved_outside(server: str, studies: Path) -> None:
    with (studies / "grey.png").open("rb") as file:
        answer = requests.put(
            f"{server}/datastore/label?image=grey&tag=..%2F..%2Fescape", files={"label": file}, timeout=60
        )
    assert answer.status_code == 404
    assert not list(studies.parent.glob("**/escape"))


def test_other_sites_and_other_names_are_turned_away(server: str) -> None:
    assert requests.get(f"{server}/info/", headers={"Host": "rebound.example"}, timeout=60).status_code == 400
    answer = requests.get(f"{server}/info/", headers={"Origin": "http://elsewhere.example"}, timeout=60)
    assert "access-control-allow-origin" not in answer.headers


def test_only_this_machine_is_listened_to(server: str) -> None:
    port = int(server.rsplit(":", 1)[1])
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = {row[1] for row in rows if row[3] == "0A" and int(row[1].split(":")[1], 16) == port}
    assert listening == {f"0100007F:{port:04X}"}


def test_training_learns_from_saved_labels_and_is_put_into_service(server: str, studies: Path, packaged: Path) -> None:
    before = ask(server, TRAINED, "colour")
    source = packaged / TRAINED / "models" / "model.pt"
    untouched = source.read_bytes(), os.stat(source).st_mtime_ns
    for image in ("colour", "grey"):
        drawn = np.zeros((80, 100), dtype=np.uint8)
        drawn[20:60, 30:70] = 1
        file = BytesIO()
        Image.fromarray(drawn).save(file, format="png")
        saved = requests.put(
            f"{server}/datastore/label?image={image}", files={"label": ("drawn.png", file.getvalue())}, timeout=60
        )
        assert saved.status_code == 200, saved.text
    weights = requests.get(f"{server}/model/info/{TRAINED}", timeout=60).json()["checksum"]
    started = requests.post(
        f"{server}/train/{TRAINED}", json={"max_epochs": 2, "val_split": 0.5, "device": "cpu"}, timeout=60
    )
    assert started.status_code == 200, started.text
    status = _finished(server)
    assert status["status"] == "DONE", "\n".join(status["details"])
    assert requests.get(f"{server}/model/info/{TRAINED}", timeout=60).json()["checksum"] != weights
    after = ask(server, TRAINED, "colour")
    assert after.status_code == 200
    assert after.content != before.content, "the server went on with the old weights"
    assert (source.read_bytes(), os.stat(source).st_mtime_ns) == untouched


def _finished(server: str) -> dict[str, Any]:
    end = time.monotonic() + 240
    while time.monotonic() < end:
        status = requests.get(f"{server}/train/", timeout=60).json()
        if status["status"] not in {"RUNNING", "SUBMITTED"}:
            return status
        time.sleep(1)
    raise AssertionError("the training does not end")
