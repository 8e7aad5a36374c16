"""Every segment of a DICOM SEG under its own name."""

from __future__ import annotations

from typing import Any

import pytest

from lvm_med_monai.apps.label.segments import codes_of, segments_for

BY_PLACE = [{"name": "liver"}, {"name": "spleen"}, {"name": "stomach"}]
BY_VALUE = [{"name": "stomach", "idx": 3}, {"name": "liver", "idx": 1}, {"name": "spleen", "idx": 2}]


@pytest.mark.parametrize("given", [BY_PLACE, BY_VALUE], ids=["by place", "by value"])
@pytest.mark.parametrize(
    ("present", "names"),
    [([1, 2, 3], ["liver", "spleen", "stomach"]), ([2], ["spleen"]), ([3, 1], ["liver", "stomach"]), ([], [])],
    ids=["all", "the first is absent", "the second is absent", "none"],
)
def test_names_follow_values(given: list[dict[str, Any]], present: list[int], names: list[str]) -> None:
    segments = segments_for(present, given)
    assert [item["name"] for item in segments] == names
    assert [item["segmentAttribute"]["SegmentLabel"] for item in segments] == names
    assert [item["segmentAttribute"]["labelID"] for item in segments] == sorted(present)


@pytest.mark.parametrize("given", [None, [], BY_PLACE[:1], [{"name": "spleen", "idx": 3}], [{}, {}]])
def test_a_value_without_a_name_is_an_error(given: list[dict[str, Any]] | None) -> None:
    with pytest.raises(ValueError, match="value 2"):
        segments_for([2], given)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Liver", "10200004"),
        ("brain_tumour", "108369006"),
        ("skin lesion", "52988006"),
        ("left atrium of something", "85756007"),
        ("", "85756007"),
    ],
)
def test_codes(name: str, kind: str) -> None:
    assert codes_of(name)[1][0] == kind


def test_a_client_may_describe_a_segment_itself() -> None:
    own = {"SegmentLabel": "mine", "labelID": 9}
    assert segments_for([1], [{"name": "x", "segmentAttribute": own}])[0]["segmentAttribute"] == {
        "SegmentLabel": "mine",
        "labelID": 1,
    }


def test_colours_are_whole_numbers() -> None:
    colour = segments_for([1], [{"name": "x", "color": [1.0, 2.0, 3.0, 255]}])[0]["segmentAttribute"]
    assert colour["recommendedDisplayRGBValue"] == [1, 2, 3]


@pytest.mark.parametrize("given", [{"name": "liver"}, [1], "liver"], ids=str)
def test_what_is_no_list_of_entries(given: Any) -> None:
    with pytest.raises(ValueError, match="label_info must be a list of objects"):
        segments_for([1], given)
