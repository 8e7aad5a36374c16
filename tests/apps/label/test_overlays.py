"""Classes as frames, boxes as outlines, boxes in the patient."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lvm_med_monai.apps.label.markups import box_in_space, boxes_of, slicer_markups
from lvm_med_monai.apps.label.overlays import frames, line_width, outlines


@pytest.mark.parametrize(("shape", "width"), [((40, 40), 2), ((200, 400), 6), ((512, 512, 3), 15)])
def test_a_frame_is_three_percent_of_the_shorter_side(shape: tuple[int, ...], width: int) -> None:
    assert line_width(shape) == width
    mask = frames(shape, [7])
    assert (mask[:width] == 7).all()
    assert (mask[:, -width:] == 7).all()
    assert not mask[width:-width, width:-width].any()


def test_frames_of_several_findings_lie_in_one_another() -> None:
    mask = frames((40, 30), [2, 5])
    assert mask[0, 0] == mask[1, 15] == 2
    assert mask[2, 2] == mask[3, 15] == 5
    assert mask[4, 4] == 0


def test_no_finding_no_frame() -> None:
    assert not frames((20, 20), []).any()


def test_more_frames_than_fit_end_at_the_centre() -> None:
    mask = frames((10, 10), [1, 2, 3, 4, 5, 6])
    assert sorted(np.unique(mask)) == [1, 2, 3]


def test_an_outline_is_hollow_and_carries_its_class() -> None:
    mask = outlines((50, 60), np.array([[10, 20, 30, 45, 1, 0.9]]))
    assert mask[10, 20] == mask[29, 44] == 2
    assert not mask[12:28, 22:43].any()
    assert not mask[:10].any()
    assert not mask[30:].any()


def test_the_surer_box_is_on_top_and_boxes_are_cut_at_the_border() -> None:
    mask = outlines((20, 20, 2), np.array([[-5, -5, 12, 12, 0, 0.9], [0, 0, 30, 12, 1, 0.4]]))
    assert mask.shape == (20, 20, 2)
    assert mask[11, 11, 1] == 1
    assert mask[15, 11, 0] == 2


def test_rows_that_fill_up_are_no_boxes() -> None:
    answer = np.array([[1, 2, 3, 4, 0, 0.5], [-1] * 6])
    assert boxes_of(answer).tolist() == [[1, 2, 3, 4, 0, 0.5]]
    assert boxes_of(np.full((3, 6), -1)).shape == (0, 6)


@pytest.mark.parametrize("shape", [(6,), (2, 5), (1, 2, 6)])
def test_other_shapes_are_no_boxes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="boxes are"):
        boxes_of(np.zeros(shape))


def test_a_box_lies_where_its_pixels_lie() -> None:
    affine = np.array([[-2.0, 0, 0, 10], [0, -3, 0, 20], [0, 0, 5, 30], [0, 0, 0, 1]])
    centre, sides, orientation = box_in_space([0, 0, 1, 1], affine)
    assert centre == pytest.approx([-10, -20, 30])
    assert sides == pytest.approx([2, 3, 5])
    assert orientation == pytest.approx(np.eye(3).ravel())
    centre, sides, _ = box_in_space([2, 4, 6, 10], affine)
    assert centre == pytest.approx([-10 + 2 * 3.5, -20 + 3 * 6.5, 30])
    assert sides == pytest.approx([8, 18, 5])


def test_markups_hold_every_box() -> None:
    found = [
        {"label": "polyp", "score": 0.876, "box": [0, 0, 2, 2]},
        {"label": "polyp", "score": 0.5, "box": [1, 1, 4, 5]},
    ]
    path = slicer_markups(found, np.eye(4))
    markups = json.loads(path.read_text())["markups"]
    path.unlink()
    assert [item["name"] for item in markups] == ["polyp 0.88", "polyp 0.50"]
    assert markups[0]["center"] == [-0.5, -0.5, 0]
    assert markups[1]["size"] == [3, 4, 1]
    assert {item["type"] for item in markups} == {"ROI"}
