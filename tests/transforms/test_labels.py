from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor

from lvm_med_monai.transforms import MapLabelsd

HALF = [[0, 127, 0], [128, 255, 1]]


def mapped(values, rules, **options):
    mask = MetaTensor(torch.as_tensor(values), meta={"filename_or_obj": "/patients/mask.png"})
    return MapLabelsd("label", rules, **options)({"label": mask})["label"]


@pytest.mark.parametrize(
    ("rules", "values", "classes"),
    [
        (HALF, [0, 3, 127, 128, 200, 255], [0, 0, 0, 1, 1, 1]),
        ([[0, 0, 0], [205, 205, 1], [420, 421, 2]], [0, 205, 420, 421], [0, 1, 2, 2]),
        ([[5, 5, 1], [1, 1, 2], [0, 255, 0]], [0, 1, 5, 9, 255], [0, 2, 1, 0, 0]),
    ],
    ids=["lossy", "ids", "the first rule wins"],
)
def test_values_become_classes(rules, values, classes):
    found = mapped([[[*values]]], rules)
    assert found.flatten().tolist() == classes
    assert found.dtype == torch.uint8


@pytest.mark.parametrize(
    ("values", "shown"),
    [([0, 3, 7], "3, 7"), ([0, -1], "-1"), ([0.5, 0], "0.5"), ([300, 0], "300"), ([1e12, 0], "1e\\+12")],
    ids=["between", "negative", "fraction", "above", "huge"],
)
def test_values_without_a_class_are_told_with_the_file_but_not_its_folder(values, shown):
    with pytest.raises(ValueError, match=rf"^mask.png holds {shown}, which the label map has no class for: .* 5 as 1"):
        mapped([[values]], [[0, 0, 0], [5, 5, 1], [200, 255, 2]])


def test_nan_has_no_class():
    with pytest.raises(ValueError, match="holds nan"):
        mapped([[[0.0, float("nan")]]], HALF)


def test_several_masks_of_one_thing_are_united():
    masks = [[[0, 255, 0, 0]], [[0, 0, 255, 0]]]
    assert mapped(masks, HALF).tolist() == [[[0, 1, 1, 0]]]


def test_several_masks_of_several_things_get_the_class_of_their_place():
    masks = [[[255, 255, 0, 0]], [[0, 255, 255, 0]], [[0, 0, 0, 255]]]
    assert mapped(masks, HALF, mask_classes=[1, 2, 0]).tolist() == [[[1, 2, 2, 0]]]
    assert mapped(masks[:2], HALF, mask_classes=[1, 2, 0]).tolist() == [[[1, 2, 2, 0]]]


def test_too_few_or_too_many_masks_are_refused():
    masks = [[[255, 0]]] * 2
    with pytest.raises(ValueError, match=r"first of 2 masks, expected 3 to 3, of the classes \[1, 2, 3\]"):
        mapped(masks, HALF, mask_classes=[1, 2, 3])
    with pytest.raises(ValueError, match="first of 4 masks, expected 2 to 3"):
        mapped(masks * 2, HALF, mask_classes=[1, 2, 0])


def test_a_single_mask_goes_by_the_rules_even_if_several_were_possible():
    assert mapped([[[0, 1, 2]]], [[0, 0, 0], [1, 1, 1], [2, 2, 2]], mask_classes=[1, 2]).tolist() == [[[0, 1, 2]]]


def test_metadata_stay_with_the_mask():
    mask = MetaTensor(torch.zeros(2, 3, 4, 5), affine=torch.diag(torch.tensor([2.0, 3, 4, 1])))
    found = MapLabelsd("label", HALF)({"label": mask})["label"]
    assert torch.equal(found.affine, mask.affine)
    assert found.shape == (1, 3, 4, 5)


@pytest.mark.parametrize("rule", [[1, 0, 0], [0, 1], [-1, 0, 0], [0, 1, 256], [0, 1 << 21, 1]], ids=str)
def test_impossible_rules_are_refused(rule):
    with pytest.raises(ValueError, match="a rule is"):
        MapLabelsd("label", [rule])


@pytest.mark.parametrize("classes", [[0, 0], [], [1, -1], [256]], ids=str)
def test_impossible_classes_of_masks_are_refused_before_any_mask_is_read(classes):
    with pytest.raises(ValueError, match=r"mask_classes gives the class of each mask, 1 to 255, or 0 to leave it out"):
        MapLabelsd("label", HALF, mask_classes=classes)


def test_a_map_without_rules_is_refused():
    with pytest.raises(ValueError, match="at least one rule"):
        MapLabelsd("label", [])


def test_the_classes_that_can_come_out_are_known():
    assert MapLabelsd("label", HALF, mask_classes=[1, 4, 0]).classes == {0, 1, 4}
