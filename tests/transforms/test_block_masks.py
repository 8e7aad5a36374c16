from __future__ import annotations

import pytest
import torch

from lvm_med_monai.transforms import BlockMasks


def shares(masks):
    return masks.float().mean((1, 2))


def test_half_of_the_images_are_masked_by_shares_that_divide_the_range():
    masks = BlockMasks(probability=0.5, ratio=(0.1, 0.5))(16, 16, 16)
    masked = shares(masks).sort().values
    assert (masked[:8] == 0).all()
    edges = torch.linspace(0.1, 0.5, 9)
    assert ((masked[8:] >= edges[:-1] - 1 / 256) & (masked[8:] <= edges[1:])).all()


def test_the_mean_share_over_many_batches_is_that_of_the_range():
    draw = BlockMasks(ratio=(0.1, 0.5))
    mean = torch.stack([shares(draw(8, 14, 14)).mean() for _ in range(50)]).mean()
    assert mean == pytest.approx(0.5 * 0.3, abs=0.01)


def test_which_image_is_masked_is_random_and_every_place_can_be_hidden():
    draw = BlockMasks(ratio=(0.1, 0.5))
    masks = torch.stack([draw(4, 6, 6) for _ in range(100)])
    assert (masks.any(-1).any(-1).float().mean(0) - 0.5).abs().max() < 0.2
    assert masks.flatten(0, 1).any(0).all()


def test_blocks_are_blocks():
    """Neighbours of hidden patches are hidden more often than in masks of single patches of the same share."""
    draw = BlockMasks(probability=1.0, ratio=(0.3, 0.3))
    masks = draw(64, 14, 14).float()
    beside = (masks[:, :, 1:] * masks[:, :, :-1]).mean()
    assert beside > 2 * masks.mean() ** 2


@pytest.mark.parametrize(
    ("count", "rows", "columns", "hidden"),
    [(1, 2, 2, 1), (2, 1, 2, 1), (3, 4, 4, 1), (1, 37, 37, 136)],
    ids=["one image", "two patches", "fewer patches than a block", "RAD-DINO's grid"],
)
def test_small_batches_and_grids_hide_something_but_never_all(count, rows, columns, hidden):
    masks = BlockMasks(ratio=(0.1, 0.5))(count, rows, columns)
    counts = masks.sum((1, 2))
    assert counts.max() >= hidden
    assert (counts < rows * columns).all()


def test_a_state_goes_on_where_it_was_taken():
    first, second = BlockMasks(seed=1), BlockMasks(seed=2)
    first(4, 8, 8)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(4, 8, 8), second(4, 8, 8))


@pytest.mark.parametrize(
    "settings",
    [{"probability": 0}, {"ratio": (0.5, 0.1)}, {"ratio": (0.1, 1.0)}, {"smallest": 0}, {"aspect": 2.0}],
    ids=str,
)
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ValueError, match="masks need"):
        BlockMasks(**settings)
