from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from lvm_med_monai.data import read_datalist
from lvm_med_monai.data.outlines import draw_outlines, main


def part(root, name, annotations, image="1.png", more=()):
    for folder in ("images/p1", "images/p2", "annotations"):
        (root / name / folder).mkdir(parents=True)
    for picture in ("1.png", "1.bmp", "p1/1.png", "p2/1.png"):
        Image.new("L", (10, 8)).save(root / name / "images" / picture)
    pictures = enumerate([image, *more], start=4)
    table = {
        "images": [{"id": number, "file_name": path, "width": 10, "height": 8} for number, path in pictures],
        "categories": [{"id": 1, "name": "1"}, {"id": 26, "name": "stenosis"}],
        "annotations": annotations,
    }
    (root / name / "annotations" / f"{name}.json").write_text(json.dumps(table))


def square(left, top, right, bottom, category=1, **more):
    corners = [left, top, right, top, right, bottom, left, bottom]
    return {"id": 1, "image_id": 4, "category_id": category, "segmentation": [corners], **more}


def arcade(root, annotations, **options):
    for name in ("train", "val", "test"):
        part(root, name, annotations, **options)
    return root


def test_an_outline_holds_its_corners():
    mask = np.asarray(draw_outlines((10, 8), [[2, 1, 5, 1, 5, 4, 2, 4]]))
    expected = np.zeros((8, 10))
    expected[1:5, 2:6] = 255
    np.testing.assert_array_equal(mask, expected)


def test_masks_and_datalist_are_written_for_every_part(tmp_path):
    arcade(tmp_path / "in", [square(0, 0, 2, 2), square(5, 5, 6, 7), square(8, 0, 9, 1, category=26)])
    main([str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--no-progress"])
    for section in ("training", "validation", "test"):
        (entry,) = read_datalist(tmp_path / "out", section, needs=["image", "label"])
        mask = np.asarray(Image.open(entry["label"]))
        assert (mask > 0).sum() == 9 + 6 + 4


def test_classes_can_be_chosen(tmp_path):
    arcade(tmp_path / "in", [square(0, 0, 2, 2), square(8, 0, 9, 1, category=26)])
    main([str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--classes", "stenosis", "--no-progress"])
    assert (np.asarray(Image.open(tmp_path / "out" / "test" / "masks" / "1.png")) > 0).sum() == 4


@pytest.mark.parametrize(
    ("annotations", "options", "error", "message"),
    [
        ([square(0, 0, 1, 1)], {"image": "2.png"}, FileNotFoundError, "name 2.png, which is not in"),
        ([square(0, 0, 1, 1, segmentation={"counts": [], "size": [8, 10]})], {}, ValueError, "run-length"),
        ([square(0, 0, 1, 1, segmentation=[[1, 2, 3, 4]])], {}, ValueError, "4 coordinates"),
    ],
    ids=["no picture", "run lengths", "a line"],
)
def test_bad_annotations_are_refused(tmp_path, annotations, options, error, message):
    arcade(tmp_path / "in", annotations, **options)
    with pytest.raises(error, match=message):
        main([str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--no-progress"])


def test_pictures_of_one_name_in_several_folders_keep_masks_of_their_own(tmp_path):
    outlines = [square(0, 0, 2, 2), square(5, 5, 6, 7, image_id=5)]
    arcade(tmp_path / "in", outlines, image="p1/1.png", more=["p2/1.png"])
    main([str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--no-progress"])
    entries = read_datalist(tmp_path / "out", "training", needs=["image", "label"])
    assert [entry["label"].partition("/masks/")[2] for entry in entries] == ["p1/1.png", "p2/1.png"]
    assert [int((np.asarray(Image.open(entry["label"])) > 0).sum()) for entry in entries] == [9, 6]
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.parametrize(
    ("image", "more", "message"),
    [
        ("1.png", ["1.bmp"], "1.png and 1.bmp of train would have one mask, 1.png: name each picture once"),
        ("1.png", ["1.png"], "1.png and 1.png of train would have one mask"),
        ("../../val/images/1.png", [], "which lies outside of its images"),
    ],
    ids=["two suffixes", "twice", "outside"],
)
def test_pictures_whose_masks_would_have_no_place_of_their_own_are_refused(tmp_path, image, more, message):
    arcade(tmp_path / "in", [], image=image, more=more)
    with pytest.raises(ValueError, match=message):
        main([str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--no-progress"])
    assert not (tmp_path / "out").exists()


def test_unknown_classes_and_absent_parts_are_refused(tmp_path):
    arcade(tmp_path / "in", [])
    with pytest.raises(ValueError, match="no category is called aorta: there are"):
        main([str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--classes", "aorta", "--no-progress"])
    with pytest.raises(FileNotFoundError, match="holds 0 JSON files, expected one"):
        main([str(tmp_path), "-o", str(tmp_path / "out"), "--no-progress"])
