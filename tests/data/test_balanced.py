from __future__ import annotations

from collections import Counter
from itertools import chain

import pytest

from lvm_med_monai.data import BalancedBatchSampler

GROUPS = ["ct"] * 400 + ["mr"] * 100


@pytest.mark.parametrize(("power", "share"), [(1, 0.2), (0.5, 1 / 3), (0, 0.5)])
def test_small_groups_get_the_share_of_the_power(power, share):
    drawn = Counter()
    sampler = BalancedBatchSampler(GROUPS, 20, power)
    for _ in range(40):
        drawn.update(GROUPS[index] for index in chain.from_iterable(sampler))
    assert drawn["mr"] / drawn.total() == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize(
    ("shares", "share"), [({"ct": 1, "mr": 3}, 0.75), ({"ct": 0.4, "mr": 0.6}, 0.6), ({"ct": 0, "mr": 2}, 1)]
)
def test_shares_can_be_named(shares, share):
    drawn = Counter()
    sampler = BalancedBatchSampler(GROUPS, 10, shares=shares)
    for _ in range(20):
        drawn.update(GROUPS[index] for index in chain.from_iterable(sampler))
    assert drawn["mr"] / drawn.total() == pytest.approx(share, abs=0.025)


def test_the_same_seed_draws_the_same():
    first, second = (list(BalancedBatchSampler(GROUPS, 10, seed=4)) for _ in range(2))
    assert first == second != list(BalancedBatchSampler(GROUPS, 10, seed=5))


def test_no_slice_meets_itself_even_where_its_group_is_tiny():
    sampler = BalancedBatchSampler(["big"] * 30 + ["tiny"] * 2, 16, power=0)
    for batch in sampler:
        assert len(set(batch)) == len(batch) == 16


def test_an_epoch_is_as_long_as_the_data_and_is_shared_by_processes():
    assert len(BalancedBatchSampler(GROUPS, 64)) == 7
    assert len(BalancedBatchSampler(GROUPS, 64, world_size=2)) == 3
    first, second = (list(BalancedBatchSampler(GROUPS, 64, rank=rank, world_size=2)) for rank in (0, 1))
    assert first != second


def test_the_random_numbers_can_be_taken_up_again():
    sampler = BalancedBatchSampler(GROUPS, 10, seed=3)
    list(sampler)
    state = sampler.state_dict()
    wanted = list(sampler)
    other = BalancedBatchSampler(GROUPS, 10, seed=9)
    other.load_state_dict(state)
    assert list(other) == wanted


@pytest.mark.parametrize(
    ("groups", "options", "message"),
    [
        (["a"] * 5, {}, "5 slices do not fill a batch of 16"),
        (["a"] * 20, {"power": 2}, r"lies in \[0, 1\], got 2"),
        (["a"] * 20, {"shares": {"b": 1}}, "only one of them has a, b"),
        (["a"] * 20, {"shares": {"a": -1}}, "at least 0"),
        (["a"] * 20 + ["b"] * 9, {"shares": {"a": 0, "b": 1}}, "9 slices of groups with a share do not fill"),
    ],
)
def test_impossible_requests_are_named(groups, options, message):
    with pytest.raises(ValueError, match=message):
        BalancedBatchSampler(groups, 16, **options)
