from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from lvm_med_monai.data import check_objects, read_prompted
from lvm_med_monai.transforms import MergeMasksd


def picture(folder, name, mode="L", values=None):
    values = np.full((8, 8), 7, np.uint8) if values is None else values
    Image.fromarray(values).convert(mode).save(folder / name)


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "b.png"):
        picture(tmp_path, name)
    return tmp_path


def test_images_get_their_prompts_and_the_others_none(folder, caplog):
    (folder / "prompts.json").write_text(json.dumps({"b.png": {"box": [1, 2, 3, 4], "slice": None}}))
    first, second = read_prompted(folder)
    assert first == {"image": str(folder / "a.png"), "name": "a.png"}
    assert second == {"image": str(folder / "b.png"), "name": "b.png", "box": [1, 2, 3, 4], "slice": None}
    assert "1 images without prompts" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "prompts.json is no JSON"),
        ("[1]", "must map names of files to prompts"),
        ('{"a.png": [1, 2]}', "must map names of files to prompts"),
        ('{"c.png": {}}', "names c.png, which .* does not hold"),
        ('{"a.png": {"boxes": []}}', "gives a.png boxes: prompts are foreground"),
    ],
)
def test_a_file_of_prompts_that_means_nothing_is_refused(folder, text, message):
    (folder / "prompts.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_prompted(folder)


def test_a_missing_file_of_prompts_shows_what_to_write(folder):
    with pytest.raises(FileNotFoundError, match=r'write one such as {"a.png": {"box": \[x0, y0, x1, y1\]}}'):
        read_prompted(folder)


def test_objects_are_checked_before_training(folder):
    mask = np.zeros((8, 8), np.uint8)
    picture(folder, "empty.png", values=mask)
    picture(folder, "full.png", values=mask + 3)
    picture(folder, "four.png", "RGBA")
    image = str(folder / "a.png")
    merge = MergeMasksd("label")
    full = [{"image": image, "label": str(folder / "full.png")}]
    assert check_objects(full, merge) == 1
    assert check_objects(full, merge, target=3) == 1
    assert check_objects([{**full[0], "label": [full[0]["label"]] * 2}], merge, target=2) == 1
    assert check_objects([{"image": image}], merge, enabled=False) == 1
    with pytest.raises(ValueError, match=r"none of 1 masks holds the target 255, they hold \[3\]: correct target"):
        check_objects(full, merge, target=255)
    for entry, message in (
        ({"image": image}, "a.png has no mask"),
        ({"image": image, "label": str(folder / "empty.png")}, "mask of a.png is empty"),
        ({"image": str(folder / "four.png"), "label": str(folder / "full.png")}, "four.png has 4 channels"),
    ):
        with pytest.raises(ValueError, match=message):
            check_objects([entry], merge)
