"""Images, labels and notes that clients send: nothing is overwritten, and a name that cannot be kept is refused."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import requests
from PIL import Image
from running import label_server

from tests.apps.label.known import brighter_than_half

pytestmark = pytest.mark.slow
SKIN = "skin_lesion_dermoscopy_segmentation"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    (folder / "labels" / "final").mkdir(parents=True)
    (folder / "half.png").write_bytes(picture(9))
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, images: Path) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("known")
    bundle = brighter_than_half(folder, SKIN)
    with label_server(["--studies", str(images), "--bundles", str(bundle)], folder / "log.txt") as address:
        yield address


def picture(value: int) -> bytes:
    file = BytesIO()
    Image.fromarray(np.full((20, 30), value, dtype=np.uint8)).save(file, format="png")
    return file.getvalue()


def send(server: str, name: str, value: int, image: str | None = None) -> requests.Response:
    file = {"file": (name, picture(value))}
    return requests.put(f"{server}/datastore/image", params={"image": image} if image else {}, files=file, timeout=60)


@pytest.mark.parametrize("text", ["[1]", "5", '"x"'])
@pytest.mark.parametrize(
    ("path", "file", "field"),
    [
        ("image?image=new", "file", "params"),
        ("label?image=half", "label", "params"),
        ("image/info?image=half", "", "info"),
        ("label/info?label=half&tag=final", "", "info"),
    ],
)
def test_notes_must_be_an_object(server: str, path: str, file: str, field: str, text: str) -> None:
    files = {file: ("x.png", picture(1))} if file else None
    answer = requests.put(f"{server}/datastore/{path}", data={field: text}, files=files, timeout=60)
    assert (answer.status_code, "must be JSON objects" in answer.text) == (404, True), answer.text


@pytest.mark.parametrize(
    ("method", "path", "field"),
    [
        ("put", "/datastore/image", "file"),
        ("put", "/datastore/label?image=half", "label"),
        ("put", "/session/", "files"),
        ("post", f"/infer/{SKIN}", "file"),
    ],
)
def test_a_file_whose_name_cannot_be_stored(server: str, method: str, path: str, field: str) -> None:
    files = {field: (f"{'a' * 300}.png", picture(1))}
    answer = requests.request(method, server + path, files=files, timeout=60)
    assert (answer.status_code, "at most 200 bytes" in answer.text) == (404, True), answer.text


def test_an_image_is_called_as_its_whole_file(server: str, images: Path) -> None:
    for name, value in (("J. Doe.png", 10), ("J. Roe.PNG", 200)):
        answer = send(server, name, value)
        assert (answer.status_code, answer.json()) == (200, {"image": name[:-4]})
        assert np.asarray(Image.open(images / name)).max() == value
        assert requests.delete(f"{server}/datastore/image?id={name[:-4]}", timeout=60).status_code == 200


@pytest.mark.parametrize("name", ["sent.png", "sent.PNG", "sent.tif", "sent.jpg"])
def test_an_image_does_not_take_the_place_of_another(server: str, images: Path, name: str) -> None:
    before = send(server, "sent.png", 10)
    assert before.status_code in (200, 409), before.text
    for answer in (send(server, name, 200), send(server, "other.png", 200, image="sent")):
        assert (answer.status_code, "there is an image of the id 'sent'" in answer.text) == (409, True)
    assert [path.name for path in images.glob("sent.*")] == ["sent.png"]
    assert np.asarray(Image.open(images / "sent.png")).max() == 10


def test_an_image_does_not_get_the_label_of_another(server: str, images: Path) -> None:
    (images / "labels" / "final" / "gone.png").write_bytes(picture(1))
    answer = send(server, "gone.png", 10)
    assert (answer.status_code, "there is a label of the id 'gone'" in answer.text) == (409, True)
    assert not (images / "gone.png").exists()
