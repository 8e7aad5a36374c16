from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

from lvm_med_monai.data import (
    LabelledSlices,
    NumberedSlices,
    class_weights,
    few_shot,
    list_inputs,
    read_classes,
    read_named_labels,
)
from lvm_med_monai.slices import Source, extract, read_manifest, read_slice

CLASSES = ["none", "mild", "severe"]


def picture(folder, name, mode="L", size=(8, 6)):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, 3 if mode == "L" else None).save(path)
    return name


def datalist(folder, entries, section="training"):
    (folder / "dataset.json").write_text(json.dumps({section: entries}))
    return folder


@pytest.fixture
def folder(tmp_path):
    picture(tmp_path, "a.png")
    picture(tmp_path, "sub/b.jpg")
    return tmp_path


def test_numbers_and_names_of_classes_become_numbers(folder):
    datalist(folder, [{"image": "a.png", "label": 2}, {"image": "sub/b.jpg", "label": "mild", "sex": "F"}])
    assert read_classes(folder, "training", CLASSES) == [
        {"image": str(folder / "a.png"), "name": "a.png", "label": 2},
        {"image": str(folder / "sub/b.jpg"), "name": "sub/b.jpg", "label": 1},
    ]


def test_patients_are_named_in_all_entries_or_in_none(folder):
    both = [{"image": "a.png", "label": 0, "patient": "3"}, {"image": "sub/b.jpg", "label": 1, "patient": "7"}]
    assert [item["patient"] for item in read_classes(datalist(folder, both), "training", CLASSES)] == ["3", "7"]
    del both[1]["patient"]
    message = "training: 1 of 2 entries, such as sub/b.jpg, have no 'patient': name it in all or none"
    with pytest.raises(ValueError, match=message):
        read_classes(datalist(folder, both), "training", CLASSES)


@pytest.mark.parametrize(("policy", "value"), [("ignore", -1.0), ("negative", 0.0), ("positive", 1.0)])
def test_uncertain_findings_follow_the_policy(folder, policy, value):
    datalist(folder, [{"image": "a.png", "label": [1, -1, 0]}])
    (item,) = read_classes(folder, "training", CLASSES, multi_label=True, uncertain=policy)
    assert item["label"] == [1.0, value, 0.0]


@pytest.mark.parametrize(
    ("label", "multi_label", "message"),
    [
        (3, False, "the label 3, which is none of the 3 classes: expected 0 to 2 or one of none, mild, severe"),
        (-1, False, "the label -1, which is none"),
        (True, False, "the label True, which is none"),
        (1.0, False, "the label 1.0, which is none"),
        ("moderate", False, "the label 'moderate', which is none"),
        ([0, 1, 0], False, "but classes exclude each other here: set multi_label"),
        ([0, 1], True, r"the label \[0, 1\]: expected a list of 3 numbers"),
        (2, True, "the label 2: expected a list of 3 numbers"),
        ([0, 2, 0], True, "expected 1 .present., 0"),
        ([0, None, 0], True, "expected 1 .present., 0"),
    ],
)
def test_labels_outside_the_classes_name_the_image_and_the_cure(folder, label, multi_label, message):
    datalist(
        folder,
        [{"image": "a.png", "label": 0 if not multi_label else [0, 0, 0]}, {"image": "sub/b.jpg", "label": label}],
    )
    with pytest.raises(ValueError, match=rf"dataset.json, training: sub/b.jpg has .*{message}"):
        read_classes(folder, "training", CLASSES, multi_label=multi_label)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"image": "a.png"}, "a.png has no label"),
        ({"label": 1}, 'has no path under "image"'),
        ({"image": ["a.png", "a.png"], "label": 1}, 'has no path under "image"'),
        ("a.png", "entry 0 of section 'training' of dataset.json is 'a.png', expected an object"),
    ],
)
def test_entries_of_another_form_are_refused(folder, entry, message):
    with pytest.raises(ValueError, match=message):
        read_classes(datalist(folder, [entry]), "training", CLASSES)


def test_missing_files_lists_and_sections_are_told(folder):
    with pytest.raises(FileNotFoundError, match=r"no datalist dataset.json in .*: write one"):
        read_classes(folder, "training", CLASSES)
    datalist(folder, [{"image": "gone.png", "label": 1}])
    with pytest.raises(FileNotFoundError, match=r"the image .*gone.png does not exist: correct the datalist"):
        read_classes(folder, "training", CLASSES)
    with pytest.raises(ValueError, match=r"no section 'test' with entries: it has \['training'\]"):
        read_classes(folder, "test", CLASSES)
    with pytest.raises(ValueError, match=r"the section 'training' of dataset.json is empty"):
        read_classes(datalist(folder, []), "training", CLASSES)


@pytest.mark.parametrize(("classes", "multi_label"), [(["one"], False), (["a", "a"], False), ([], True)])
def test_classes_must_be_different_names(folder, classes, multi_label):
    with pytest.raises(ValueError, match="classes must be different names"):
        read_classes(datalist(folder, [{"image": "a.png", "label": 0}]), "training", classes, multi_label)


def test_an_unknown_policy_is_refused(folder):
    with pytest.raises(ValueError, match="uncertain is one of ignore, negative, positive, got 'maybe'"):
        read_classes(folder, "training", CLASSES, True, "maybe")


@pytest.mark.parametrize("mode", ["RGBA", "LA", "CMYK"])
def test_four_channels_are_refused_by_name(tmp_path, mode):
    name = picture(tmp_path, "x.tif", mode)
    datalist(tmp_path, [{"image": name, "label": 0}])
    with pytest.raises(ValueError, match=rf"x.tif has \d channels \({mode}\), expected grey or RGB: save it"):
        read_classes(tmp_path, "training", CLASSES)


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "1"])
def test_grey_colour_and_palettes_are_pictures(tmp_path, mode):
    name = picture(tmp_path, "x.png", mode)
    assert len(read_classes(datalist(tmp_path, [{"image": name, "label": 0}]), "training", CLASSES)) == 1


def test_volumes_and_other_files_are_no_pictures(tmp_path):
    nib.save(nib.Nifti1Image(np.zeros((4, 5, 3), np.int16), np.eye(4)), tmp_path / "volume.nii.gz")
    nib.save(nib.Nifti1Image(np.zeros((4, 5, 1, 4), np.int16), np.eye(4)), tmp_path / "four.nii.gz")
    (tmp_path / "text.png").write_text("no picture")
    for name, message in (
        ("volume.nii.gz", "volume.nii.gz holds 3 pictures, expected one"),
        ("four.nii.gz", "four.nii.gz holds 4 pictures, expected one"),
        ("text.png", "text.png holds 0 pictures, expected one"),
    ):
        with pytest.raises(ValueError, match=message):
            read_classes(datalist(tmp_path, [{"image": name, "label": 0}]), "training", CLASSES)


def test_a_nifti_file_of_one_slice_is_a_picture(tmp_path):
    nib.save(nib.Nifti1Image(np.zeros((4, 5, 1), np.int16), np.eye(4)), tmp_path / "one.nii.gz")
    assert read_classes(datalist(tmp_path, [{"image": "one.nii.gz", "label": 0}]), "training", CLASSES)[0]["label"] == 0


def test_class_weights_follow_their_formula():
    items = [{"label": label} for label in (0, 0, 0, 1)]
    assert class_weights(items, 2).tolist() == pytest.approx([4 / 6, 4 / 2])
    assert class_weights(items, 2, power=0.5).tolist() == pytest.approx([(4 / 6) ** 0.5, 2**0.5])
    assert class_weights(items, 3, power=0).tolist() == [1, 1, 1]
    assert class_weights(items, 3).tolist() == pytest.approx([4 / 9, 4 / 3, 4 / 3])  # no image counts as one


def test_weights_of_findings_are_those_of_positives_and_leave_out_unknown_ones():
    items = [{"label": label} for label in ([1.0, -1.0], [0.0, 1.0], [0.0, 0.0], [0.0, 0.0])]
    assert class_weights(items, 2, multi_label=True).tolist() == [3, 2]
    with pytest.raises(ValueError, match="0 or more, got -1"):
        class_weights(items, 2, multi_label=True, power=-1)


def test_few_shots_give_every_class_its_images_and_no_more():
    items = [{"label": number % 3, "name": number} for number in range(30)]
    chosen = few_shot(items, CLASSES, shots=4, seed=1)
    assert [sum(item["label"] == number for item in chosen) for number in range(3)] == [4, 4, 4]
    assert chosen == few_shot(items, CLASSES, shots=4, seed=1) != few_shot(items, CLASSES, shots=4, seed=2)
    assert [item["name"] for item in chosen] == sorted(item["name"] for item in chosen)


def test_few_shots_of_findings_count_an_image_for_all_that_it_shows():
    items = [{"label": [1.0, 1.0]}, *[{"label": [0.0, 0.0]}] * 5, {"label": [1.0, -1.0]}]
    chosen = few_shot(items, ["a", "b"], shots=2)
    assert [item["label"] for item in chosen] == [[1.0, 1.0], [1.0, -1.0]]  # of b there is one only
    with pytest.raises(ValueError, match="no training image shows c"):
        few_shot([{"label": [1.0, 0.0]}], ["a", "c"], shots=1)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        few_shot(items, ["a", "b"], shots=0)


def test_inputs_of_a_folder_are_its_entries(tmp_path):
    picture(tmp_path, "b.png")
    picture(tmp_path, "series/1.png")
    for name in (".hidden", "dataset.json"):
        (tmp_path / name).write_text("")
    assert list_inputs(tmp_path) == [{"image": str(tmp_path / name), "name": name} for name in ("b.png", "series")]
    with pytest.raises(FileNotFoundError, match="no folder"):
        list_inputs(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="is empty: put the images into it"):
        list_inputs(tmp_path / "empty")


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Two extracted pictures, of two data sets and unlike sizes."""
    root = tmp_path_factory.mktemp("shards")
    rng = np.random.default_rng(0)
    for name, shape in (("a", (40, 50)), ("b", (64, 48))):
        (root / name).mkdir()
        for index in range(2):
            pixels = rng.integers(0, 255, shape, dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{index}.png")
    extract([Source(root / name, dataset=name, split="train") for name in "ab"], root / "out", key_file=root / "key")
    return root / "out"


def names_of(slices):
    return [entry["name"] for entry in slices.entries]


def test_extracted_slices_take_the_labels_of_a_datalist(shards):
    manifest = read_manifest(shards).to_pylist()
    datalist(shards, [{"image": row["slice_id"], "label": number % 3} for number, row in enumerate(manifest)])
    slices = LabelledSlices(shards, "training", CLASSES)
    assert [item["label"] for item in slices] == [number % 3 for number in range(len(manifest))]
    assert [item["name"] for item in slices[1:3]] == [row["slice_id"] for row in manifest[1:3]]
    np.testing.assert_allclose(slices[0]["image"][0].numpy() * 255, read_slice(shards, manifest[0]), atol=0.51)
    few = few_shot(slices, CLASSES, shots=1)
    assert sorted(item["label"] for item in few) == [0, 1, 2]
    assert all(torch.equal(item["image"], slices[names_of(slices).index(item["name"])]["image"]) for item in few)
    assert len(slices) == len(manifest)
    assert few_shot(slices, CLASSES, shots=None) is slices
    assert class_weights(few, 3).tolist() == [1, 1, 1]
    datalist(shards, [{"image": "unknown", "label": 1}])
    with pytest.raises(ValueError, match="names 1 slices that the manifest of out has not, such as unknown"):
        LabelledSlices(shards, "training", CLASSES)


def test_fields_of_the_manifest_are_labels(shards):
    slices = NumberedSlices(shards, field="dataset", required=True)
    names = slices.slices.rows.column("dataset")
    assert [item["label"][0] for item in slices] == ["ab".index(name) for name in names]
    assert len({item["label"][1] for item in slices}) == len(slices)  # every file counts as a patient of its own
    assert NumberedSlices(shards, {"dataset": ["b"]}, "dataset", by_patient=False)[0]["label"] == [1, -1]
    with pytest.raises(ValueError, match="no field 'organ'"):
        NumberedSlices(shards, field="organ")
    with pytest.raises(ValueError, match="2 images have 1 labels: training needs two"):
        NumberedSlices(shards, {"dataset": ["b"]}, "dataset", required=True)


def test_names_have_one_number_in_all_sections(folder):
    sections = {
        "training": [{"image": "a.png", "label": "T2", "patient": 9}, {"image": "sub/b.jpg", "label": "T2"}],
        "test": [{"image": "a.png", "label": "T1"}, {"image": "a.png"}],
    }
    (folder / "dataset.json").write_text(json.dumps(sections))
    assert [item["label"] for item in read_named_labels(folder, "training")] == [[1, 0], [1, -1]]
    assert [item["label"] for item in read_named_labels(folder, "test")] == [[0, -1], [-1, -1]]
    with pytest.raises(ValueError, match=r"dataset.json, test: 1 images have no label, which training needs"):
        read_named_labels(folder, "test", required=True)
    with pytest.raises(ValueError, match="2 images have 1 labels"):
        read_named_labels(folder, "training", required=True)


@pytest.mark.parametrize("nothing", [None, "", "  "], ids=repr)
def test_an_empty_label_or_patient_is_none_at_all(folder, nothing):
    entries = [{"image": "a.png", "label": nothing, "patient": nothing}, {"image": "sub/b.jpg", "label": "None"}]
    datalist(folder, entries)
    assert [item["label"] for item in read_named_labels(folder, "training")] == [[-1, -1], [0, -1]]
    with pytest.raises(ValueError, match="1 images have no label, which training needs"):
        read_named_labels(folder, "training", required=True)
    with pytest.raises(ValueError, match=r"a.png has no label; leave it out, or label it"):
        read_classes(folder, "training", CLASSES)
