"""Datalists of boxes: what is accepted, what is refused, repeats and batches."""

from __future__ import annotations

import json
import math

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

from lvm_med_monai.data import collate_boxes, read_boxes, repeat_rare
from lvm_med_monai.lists.boxes import Box
from lvm_med_monai.lists.datalists import _Labels
from lvm_med_monai.slices import SlicePolicy, Source, extract, read_manifest

CLASSES = ["nodule", "mass"]
BOX = [1, 2, 11.5, 12]


def write(folder, entries, section="training"):
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(folder / "a.png")
    (folder / "dataset.json").write_text(json.dumps({section: entries}))
    return folder


def entry(box=None, label=None, image="a.png", **others):
    box = [BOX] if box is None else box
    return {"image": image, "box": box, "label": [0] * len(box) if label is None else label, **others}


def test_items_hold_tensors_names_and_other_keys(tmp_path):
    entries = [entry([BOX, [0, 0, 30, 20]], [1, 0], patient="p1"), entry([])]
    first, second = read_boxes(write(tmp_path, entries), "training", CLASSES)
    assert first["name"] == "a.png"
    assert first["patient"] == "p1"
    assert first["image"] == str(tmp_path / "a.png")
    assert torch.equal(first["box"], torch.tensor([BOX, [0, 0, 30, 20]], dtype=torch.float32))
    assert first["label"].tolist() == [1, 0]
    assert second["box"].shape == (0, 4)
    assert second["label"].shape == (0,)


def test_boxes_that_round_over_the_edge_are_clipped(tmp_path):
    (item,) = read_boxes(write(tmp_path, [entry([[-0.5, 0, 30.8, 20]])]), "training", CLASSES)
    assert item["box"].tolist() == [[0, 0, 30, 20]]


def test_a_nifti_file_has_x_on_its_first_axis(tmp_path):
    write(tmp_path, [entry([[0, 0, 30, 20]], image="a.nii.gz")])
    nib.save(nib.Nifti1Image(np.zeros((30, 20, 1), np.float32), np.diag([-1, 1, 1, 1])), tmp_path / "a.nii.gz")
    (item,) = read_boxes(tmp_path, "training", CLASSES)
    assert item["box"].tolist() == [[0, 0, 30, 20]]


def test_a_slice_of_an_extracted_folder_is_a_picture_of_its_own_size(tmp_path):
    (tmp_path / "source").mkdir()
    Image.fromarray(np.arange(600, dtype=np.uint8).reshape(20, 30)).save(tmp_path / "source" / "a.png")
    source = Source(tmp_path / "source", split="train")
    extract([source], tmp_path / "slices", SlicePolicy(min_foreground=0, min_size=8), tmp_path / "key", progress=False)
    (name,) = read_manifest(tmp_path / "slices").column("slice_id").to_pylist()
    whole = entry([[0, 0, 30, 20]], image=f"slices/{name}")
    (item,) = read_boxes(write(tmp_path, [whole]), "training", CLASSES)
    assert item["image"] == str(tmp_path / "slices" / name)
    assert item["box"].tolist() == [[0, 0, 30, 20]]
    with pytest.raises(ValueError, match="leaves the picture of 30 x 20 pixels"):
        read_boxes(write(tmp_path, [whole | {"box": [[0, 0, 20, 30]]}]), "training", CLASSES)
    with pytest.raises(FileNotFoundError, match="no_such_slice does not exist"):
        read_boxes(write(tmp_path, [entry(image="slices/no_such_slice")]), "training", CLASSES)


def test_labels_of_the_data_are_mapped_and_ignored(tmp_path):
    entries = [entry([BOX, BOX, BOX], [26, 3, 9])]
    (item,) = read_boxes(write(tmp_path, entries), "training", CLASSES, labels=[26, 3], ignored_labels=[9])
    assert item["label"].tolist() == [0, 1]


def test_labels_of_classes_cannot_be_ignored(tmp_path):
    folder = write(tmp_path, [entry()])
    with pytest.raises(ValueError, match=r"the labels \[1\] are those of classes and in ignored_labels too: set"):
        read_boxes(folder, "training", CLASSES, ignored_labels=[1, 14])


def test_empty_pictures_can_be_left_out(tmp_path):
    entries = [entry([]), entry()]
    assert len(read_boxes(write(tmp_path, entries), "training", CLASSES, keep_empty=False)) == 1
    with pytest.raises(ValueError, match="has no box of nodule, mass"):
        read_boxes(write(tmp_path, [entry([])]), "training", CLASSES, keep_empty=False)


def test_readers_boxes_are_fused(tmp_path):
    entries = [entry([[0, 0, 10, 10], [2, 0, 12, 10], [0, 0, 10, 10]], [0, 0, 1])]
    (item,) = read_boxes(write(tmp_path, entries), "training", CLASSES, fusion_overlap=0.2)
    assert item["box"].tolist() == [[1, 0, 11, 10], [0, 0, 10, 10]]
    assert item["label"].tolist() == [0, 1]


def test_what_lists_write_is_read(tmp_path):
    """The entry that ``lists datalist`` makes of a sample with boxes."""
    maker = object.__new__(_Labels)
    maker.prefix, maker.boxes, maker.numbers = "", {"a": [Box((1.0, 2.0, 11.5, 12.0), "mass")]}, {"mass": 1}
    sample = type("Sample", (), {"name": "a", "images": ["a.png"]})()
    (item,) = read_boxes(write(tmp_path, [maker.entry(sample)]), "training", CLASSES)
    assert item["box"].tolist() == [BOX]
    assert item["label"].tolist() == [1]


def rgba(folder):
    Image.fromarray(np.zeros((20, 30, 4), np.uint8)).save(folder / "b.png")


def volume(folder):
    nib.save(nib.Nifti1Image(np.zeros((8, 8, 5), np.float32), np.eye(4)), folder / "b.nii.gz")


REFUSED = {
    "outside": (entry([[0, 0, 32, 20]]), r"leaves the picture of 30 x 20 pixels: give pixels of the stored picture"),
    "swapped axes": (entry([[0, 0, 20, 30]]), "leaves the picture"),
    "negative": (entry([[-5, 0, 3, 3]]), "leaves the picture"),
    "in the slack alone": (entry([[-0.9, 0, -0.1, 5]]), r"a.png has the box \[-0.9, 0, -0.1, 5\], which leaves"),
    "below the last row": (entry([[0, 20, 5, 20.9]]), r"a.png has the box \[0, 20, 5, 20.9\], which leaves"),
    "thinner than a float": (entry([[8, 1, 8.0000000001, 5]]), "without area"),
    "no width": (entry([[4, 4, 4, 9]]), "without area"),
    "upside down": (entry([[4, 9, 8, 4]]), "x2 > x1 and y2 > y1"),
    "three numbers": (entry([[1, 2, 3]]), "four numbers"),
    "not finite": (entry([[0, 0, math.nan, 5]]), "four numbers"),
    "text": (entry([["0", 0, 5, 5]]), "four numbers"),
    "unknown class": (entry(label=[2]), r"label 2, which is none of the 2 classes: expected one of \[0, 1\]"),
    "label is text": (entry(label=["mass"]), "label 'mass'"),
    "label is true": (entry(label=[True]), "label True"),
    "too few labels": (entry([BOX, BOX], [0]), "of the same length"),
    "no boxes key": ({"image": "a.png"}, 'needs a list "box"'),
    "no image": ({"box": [], "label": []}, 'no path under "image"'),
    "four channels": (entry(image="b.png"), "4 channels", rgba),
    "a volume": (entry(image="b.nii.gz"), "5 pictures, expected one", volume),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
def test_bad_entries_are_refused_by_name(case, tmp_path):
    bad, message, *maker = case
    write(tmp_path, [bad])
    for make in maker:
        make(tmp_path)
    with pytest.raises(ValueError, match=message):
        read_boxes(tmp_path, "training", CLASSES)


def test_absent_files_and_sections_are_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no datalist dataset.json"):
        read_boxes(tmp_path, "training", CLASSES)
    with pytest.raises(FileNotFoundError, match=r"absent.png does not exist"):
        read_boxes(write(tmp_path, [entry(image="absent.png")]), "training", CLASSES)
    with pytest.raises(ValueError, match="no section 'test'"):
        read_boxes(write(tmp_path, [entry()]), "test", CLASSES)
    with pytest.raises(ValueError, match=r"the section 'training' of dataset\.json is empty"):
        read_boxes(write(tmp_path, []), "training", CLASSES)
    with pytest.raises(ValueError, match="2 classes need as many different labels"):
        read_boxes(write(tmp_path, [entry()]), "training", CLASSES, labels=[1, 1])


def test_pictures_of_rare_classes_are_repeated():
    def item(*labels):
        return {"label": torch.tensor(labels, dtype=torch.int64)}

    common, rare, empty = item(0, 0), item(0, 1), item()
    items = [common] * 8 + [rare, empty]
    # class 1 is in 1 of 10 pictures: sqrt(0.4 / 0.1) = 2; class 0 in 9 of 10
    assert repeat_rare(items, 0.4) == [common] * 8 + [rare] * 2 + [empty]
    assert repeat_rare(items, 0.91) == [common] * 16 + [rare] * 4 + [empty]
    assert repeat_rare(items, 0) == items


def test_batches_are_padded_below_with_minus_one():
    items = [{"image": torch.zeros(3, 4, 4), "target": torch.ones(count, 5), "name": str(count)} for count in (2, 0, 1)]
    batch = collate_boxes(items)
    assert batch["target"].shape == (3, 2, 5)
    assert [int((rows[:, 4] >= 0).sum()) for rows in batch["target"]] == [2, 0, 1]
    assert (batch["target"][1] == -1).all()
    assert batch["name"] == ["2", "0", "1"]
    items[0]["image"] = torch.zeros(3, 5, 4)
    with pytest.raises(ValueError, match="images of the sizes"):
        collate_boxes(items)
