"""Boxes stay on what they frame: a bright rectangle, found again in the pixels after every transform."""

from __future__ import annotations

import pytest
import torch
from monai.apps.detection.transforms.dictionary import RandFlipBoxd

from lvm_med_monai.transforms import BoxTargetd, FitBoxesd, RandMirrorBoxd, RandSafeCropBoxd


def item(height=40, width=60, boxes=((10, 5, 30, 12),)):
    """An image in which each box is filled with its own brightness."""
    image = torch.zeros(3, height, width)
    for number, (x1, y1, x2, y2) in enumerate(boxes, start=1):
        image[:, y1:y2, x1:x2] = number
    box = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return {"image": image, "box": box, "label": torch.arange(len(boxes))}


def framed(image, number):
    """Box of the pixels of one brightness."""
    rows, columns = torch.where(image[0].round() == number)
    return [int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1]


def test_mirroring_moves_x_and_keeps_y():
    done = RandMirrorBoxd(prob=1.0)(item())
    assert done["box"].tolist() == [[30, 5, 50, 12]]
    assert framed(done["image"], 1) == [30, 5, 50, 12]
    assert torch.equal(RandMirrorBoxd(prob=1.0)(done)["image"], item()["image"])


def test_mirroring_takes_images_without_boxes():
    done = RandMirrorBoxd(prob=1.0)(item(boxes=()))
    assert done["box"].shape == (0, 4)


def test_monais_flip_reads_boxes_along_the_array_axes():
    """Why rows first needs transforms of its own: MONAI's first coordinate belongs to the first axis of the array."""
    options = {"image_keys": "image", "box_keys": "box", "box_ref_image_keys": "image", "prob": 1.0}
    columns_first = {**item(), "image": item()["image"].transpose(1, 2)}
    right = RandFlipBoxd(**options, spatial_axis=0)(columns_first)
    assert right["box"].tolist() == [[30, 5, 50, 12]]
    wrong = RandFlipBoxd(**options, spatial_axis=1)(item())
    assert wrong["box"].tolist() != [[30, 5, 50, 12]]


def test_aspect_is_kept_and_black_added():
    done = FitBoxesd(30)(item())
    assert done["image"].shape == (3, 30, 30)
    assert done["box"].tolist() == [[5, 2.5, 15, 6]]
    assert (done["image"][:, 20:] == 0).all()
    assert done["image"][:, 3:5, 6:14].min() > 0.9


def test_stretching_scales_both_sides():
    done = FitBoxesd(80, keep_aspect=False)(item())
    torch.testing.assert_close(done["box"], torch.tensor([[10 * 80 / 60, 10, 40, 24]]))
    assert done["image"].shape == (3, 80, 80)


def test_an_image_of_the_right_size_is_untouched():
    start = item(60, 60)
    done = FitBoxesd(60)(start)
    assert torch.equal(done["image"], start["image"])
    assert torch.equal(done["box"], start["box"])


@pytest.mark.parametrize("erosion", [0.0, 0.2])
def test_cuts_hold_nearly_all_of_every_box(erosion):
    boxes = ((10, 5, 30, 12), (40, 20, 50, 38))
    crop = RandSafeCropBoxd(prob=1.0, erosion=erosion).set_random_state(0)
    sizes = set()
    for _ in range(200):
        done = crop(item(boxes=boxes))
        assert len(done["box"]) == 2
        for number, (box, old) in enumerate(zip(done["box"], boxes, strict=True), start=1):
            assert framed(done["image"], number) == box.tolist()
            assert box[2] - box[0] >= (1 - 2 * erosion) * (old[2] - old[0]) - 1
            assert box[3] - box[1] >= (1 - 2 * erosion) * (old[3] - old[1]) - 1
        sizes.add(tuple(done["image"].shape[1:]))
    assert len(sizes) > 50


def test_cuts_of_images_without_boxes_keep_most():
    crop = RandSafeCropBoxd(prob=1.0, erosion=0.2).set_random_state(0)
    for _ in range(100):
        height, width = crop(item(boxes=()))["image"].shape[1:]
        assert 31 <= height <= 40
        assert 47 <= width <= 60


def test_a_box_of_the_whole_image_allows_erosion_only():
    crop = RandSafeCropBoxd(prob=1.0, erosion=0.1).set_random_state(0)
    done = crop(item(boxes=((0, 0, 60, 40),)))
    assert done["image"].shape[2] >= 47
    assert done["box"].tolist() == [[0, 0, done["image"].shape[2], done["image"].shape[1]]]


def test_half_of_a_box_cannot_be_given_away():
    with pytest.raises(ValueError, match="may take 0 to"):
        RandSafeCropBoxd(erosion=0.5)


@pytest.mark.parametrize("boxes", [(), ((10, 5, 30, 12), (1, 2, 3, 4))], ids=["none", "two"])
def test_boxes_and_labels_become_one_table(boxes):
    done = BoxTargetd()(item(boxes=boxes))
    assert done.keys() == {"image", "target"}
    assert done["target"].tolist() == [[*box, label] for label, box in enumerate(boxes)]
