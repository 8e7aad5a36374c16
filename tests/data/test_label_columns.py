"""Labels of tables in datalists."""

from __future__ import annotations

import json

import pytest

from lvm_med_monai.data import add_labels

TABLE = "Path,Edema,Fracture\nroot/train/p1/v1.jpg,1.0,\nroot/train/p2/v1.jpg,-1.0,0.0\n"


def test_labels_of_a_table_find_their_images_by_the_end_of_the_path(tmp_path):
    (tmp_path / "train.csv").write_text(TABLE)
    sections = {"training": [{"image": "train/p1/v1.jpg"}], "test": [{"image": "train/p2/v1.jpg", "patient": "2"}]}
    (tmp_path / "dataset.json").write_text(json.dumps(sections))
    assert add_labels(tmp_path / "dataset.json", [tmp_path / "train.csv"], "Path", ["Fracture", "Edema"]) == 2
    assert json.loads((tmp_path / "dataset.json").read_text()) == {
        "training": [{"image": "train/p1/v1.jpg", "label": [0, 1]}],
        "test": [{"image": "train/p2/v1.jpg", "patient": "2", "label": [0, -1]}],
    }


def test_one_column_gives_a_number_and_rows_of_boxes_may_repeat(tmp_path):
    (tmp_path / "boxes.csv").write_text("patientId,Target\nx1,1\nx1,1\nx2,0\n")
    (tmp_path / "dataset.json").write_text(json.dumps({"training": [{"image": "i/x1.dcm"}, {"image": "i/x2.dcm"}]}))
    add_labels(tmp_path / "dataset.json", [tmp_path / "boxes.csv"], "patientId", ["Target"])
    assert [entry["label"] for entry in json.loads((tmp_path / "dataset.json").read_text())["training"]] == [1, 0]


def test_grades_and_names_come_from_tables_without_a_header(tmp_path):
    (tmp_path / "grades.csv").write_text("0001_1.png,3\n0002_1.png,none\n")
    entries = [{"image": "Seg-set/0001_1.png"}, {"image": "Seg-set/0002_1.png"}]
    (tmp_path / "dataset.json").write_text(json.dumps({"training": entries}))
    add_labels(tmp_path / "dataset.json", [tmp_path / "grades.csv"], 0, [1])
    assert [entry["label"] for entry in json.loads((tmp_path / "dataset.json").read_text())["training"]] == [3, "none"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("", "train.csv is empty"),
        ("Path,Edema\na.png,1\n", "train.csv has no column Fracture"),
        ("Path,Edema,Fracture\na.png,2,0\n", "train.csv holds '2' for a finding: expected 1, 0, -1"),
        ("Path,Edema,Fracture\na.png,1,0\na.png,0,0\n", "labels a.png in two ways"),
        ("Path,Edema,Fracture\nb.png,1,0\n", "a.png has 0 rows"),
        ("Path,Edema,Fracture\na.png,1\n", r"train.csv has the row \['a.png', '1'\] of 2 fields, but 3 columns"),
        ("Path,Edema,Fracture\na.png,1,0,1\n", "of 4 fields, but 3 columns"),
        ("Path,Edema,Fracture\nx/a.png,1,0\ny/a.png,1,0\n", "a.png has 2 rows"),
    ],
)
def test_tables_that_do_not_fit_are_refused_and_change_nothing(tmp_path, table, message):
    (tmp_path / "train.csv").write_text(table)
    text = json.dumps({"training": [{"image": "a.png"}]})
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        add_labels(tmp_path / "dataset.json", [tmp_path / "train.csv"], "Path", ["Edema", "Fracture"])
    assert (tmp_path / "dataset.json").read_text() == text


def test_what_a_datalist_holds_beside_sections_stays_when_it_is_labelled(tmp_path):
    (tmp_path / "grades.csv").write_text("a.png,3\n")
    content = {"name": "Colon", "labels": {"0": "background"}, "training": [{"image": "a.png"}]}
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    assert add_labels(tmp_path / "dataset.json", [tmp_path / "grades.csv"], 0, [1]) == 1
    content["training"][0]["label"] = 3
    assert json.loads((tmp_path / "dataset.json").read_text()) == content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"training": [', r"the datalist .*dataset.json is no JSON \(Expecting value"),
        ('{"test": ["./imagesTs/a.nii.gz"]}', "entry 0 of section 'test' of dataset.json is './imagesTs/a.nii.gz'"),
        ('{"training": [{"label": 1}]}', "entry 0 of section 'training' of dataset.json has no path under \"image\""),
    ],
    ids=["cut off", "paths", "no image"],
)
def test_datalists_that_cannot_be_labelled_are_named(tmp_path, content, message):
    (tmp_path / "grades.csv").write_text("a.png,3\n")
    (tmp_path / "dataset.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        add_labels(tmp_path / "dataset.json", [tmp_path / "grades.csv"], 0, [1])
