from __future__ import annotations

import pytest
import torch

from lvm_med_monai.transforms import MultiCrop, MultiView, ViewPolicy

LARGE, SMALL = ViewPolicy(size=16, area=(0.4, 1.0)), ViewPolicy(size=8, area=(0.05, 0.14))


def test_global_views_come_first_and_are_those_of_two_views_alone():
    images = torch.rand(3, 1, 20, 20)
    parts = MultiCrop(LARGE, SMALL, n_local=4, seed=3)(images)
    assert [tuple(part.images.shape) for part in parts] == [(6, 3, 16, 16), (12, 3, 8, 8)]
    torch.testing.assert_close(parts[0].images, MultiView(LARGE, 2, seed=3)(images).images)
    area = parts[1].crops.box[:, 2] * parts[1].crops.box[:, 3]
    assert ((area > 0.04) & (area < 0.15)).all()


def test_without_local_views_there_is_one_stack():
    (only,) = MultiCrop(LARGE, SMALL)(torch.rand(2, 3, 20, 20))
    assert only.images.shape == (4, 3, 16, 16)


def test_a_state_goes_on_where_it_was_taken():
    images = torch.rand(3, 1, 20, 20)
    first = MultiCrop(LARGE, SMALL, n_local=2)
    first(images)
    second = MultiCrop(LARGE, SMALL, n_local=2)
    second.load_state_dict(first.state_dict())
    for a, b in zip(first(images), second(images), strict=True):
        assert torch.equal(a.images, b.images)


def test_a_state_of_other_sizes_is_refused():
    with pytest.raises(ValueError, match="views of 2 sizes, this run of 1"):
        MultiCrop(LARGE).load_state_dict(MultiCrop(LARGE, SMALL, n_local=2).state_dict())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_global": 0}, "at least one global view"),
        ({"n_local": -1}, "no fewer than 0 local"),
        ({"n_local": 2}, "2 local views need a policy"),
    ],
    ids=["no global view", "negative", "no policy"],
)
def test_impossible_numbers_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        MultiCrop(LARGE, **settings)
