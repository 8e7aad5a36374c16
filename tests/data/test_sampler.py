from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch.utils.data import DataLoader, TensorDataset

from lvm_med_monai.data import ResumableDistributedSampler

WORLDS = (1, 2, 4, 8)


def take(samplers: list[ResumableDistributedSampler], steps: int) -> list[int]:
    """What all processes take in some steps, in the order of training."""
    iterators = [iter(sampler) for sampler in samplers]
    return [next(iterator) for _ in range(steps) for iterator in iterators]


def world(size: int, count: int, seed: int = 0, **options: bool) -> list[ResumableDistributedSampler]:
    return [ResumableDistributedSampler(count, seed, rank, size, **options) for rank in range(size)]


def test_the_order_does_not_depend_on_the_world() -> None:
    orders = [take(world(size, 40), 40 // size) for size in WORLDS]
    assert all(order == orders[0] for order in orders)
    assert sorted(orders[0]) == list(range(40))
    assert orders[0] != list(range(40))


def test_the_order_is_fixed_for_ever() -> None:
    """Checkpoints of older versions go on rightly."""
    assert list(ResumableDistributedSampler(10, seed=3)) == [9, 1, 0, 8, 2, 4, 3, 5, 7, 6]


def test_seeds_and_epochs_differ() -> None:
    sampler = ResumableDistributedSampler(50, seed=1)
    first, second = list(sampler), list(sampler)
    assert sampler.epoch == 2
    assert first != second
    assert first != list(ResumableDistributedSampler(50, seed=2))
    sampler.set_epoch(0)
    assert list(sampler) == first


@pytest.mark.parametrize(("drop_last", "steps", "repeated"), [(False, 3, 2), (True, 2, 0)])
def test_the_end_of_an_epoch(drop_last: bool, steps: int, repeated: int) -> None:
    samplers = world(4, 10, drop_last=drop_last)
    assert [len(sampler) for sampler in samplers] == [steps] * 4
    order = take(samplers, steps)
    assert len(order) - len(set(order)) == repeated
    assert order[10:] == order[:repeated]


@settings(max_examples=200, deadline=None)
@given(
    count=st.integers(1, 60),
    before=st.sampled_from(WORLDS),
    after=st.sampled_from(WORLDS),
    seed=st.integers(0, 2**31),
    data=st.data(),
)
def test_resumes_anywhere_with_any_world(count: int, before: int, after: int, seed: int, data: st.DataObject) -> None:
    undisturbed = list(ResumableDistributedSampler(count, seed))
    old = world(before, count, seed)
    steps = data.draw(st.integers(0, len(old[0]) - 1))
    taken = take(old, steps)
    states = [sampler.state_dict() for sampler in old] if steps else [old[0].state_dict()]
    assert all(state == states[0] for state in states)
    new = world(after, count, seed)
    for sampler in new:
        sampler.load_state_dict(states[0])
        sampler.set_epoch(0)  # as trainers do at the start of an epoch
    rest = take(new, len(new[0]))
    assert (taken + rest)[:count] == undisturbed
    assert len(taken) + len(rest) - count < after
    assert (taken + rest)[count:] == [undisturbed[i % count] for i in range(len(taken) + len(rest) - count)]


@settings(max_examples=50, deadline=None)
@given(count=st.integers(8, 40), size=st.sampled_from(WORLDS), consumed=st.integers(0, 40))
def test_dropping_never_repeats(count: int, size: int, consumed: int) -> None:
    samplers = world(size, count, drop_last=True)
    for sampler in samplers:
        sampler.load_state_dict({"seed": 0, "epoch": 0, "consumed": min(consumed, count), "count": count})
    order = take(samplers, len(samplers[0]))
    assert len(order) == len(set(order)) > 0


def test_a_finished_epoch_resumes_as_the_next() -> None:
    sampler = ResumableDistributedSampler(10)
    sampler.load_state_dict({"seed": 0, "epoch": 4, "consumed": 10, "count": 10})
    assert (sampler.epoch, len(sampler)) == (5, 10)


def test_consumed_can_be_told_because_workers_fetch_ahead() -> None:
    data = TensorDataset(torch.arange(64))
    sampler = ResumableDistributedSampler(data, seed=5)
    batches = iter(DataLoader(data, batch_size=4, sampler=sampler, num_workers=2))
    seen = torch.cat([next(batches)[0] for _ in range(3)])
    other = ResumableDistributedSampler(data, seed=5)
    other.load_state_dict(sampler.state_dict(consumed=12))
    rest = torch.cat([batch for (batch,) in DataLoader(data, batch_size=4, sampler=other)])
    assert torch.cat([seen, rest]).tolist() == list(ResumableDistributedSampler(64, seed=5))


def test_without_shuffling_slices_keep_their_order() -> None:
    assert take(world(2, 7, shuffle=False), 4) == [0, 1, 2, 3, 4, 5, 6, 0]


def test_many_slices_are_shuffled_evenly() -> None:
    order = np.array(list(ResumableDistributedSampler(1 << 17)))
    assert np.array_equal(np.sort(order), np.arange(1 << 17))
    assert abs(np.corrcoef(order, np.arange(1 << 17))[0, 1]) < 0.02


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"data": 0}, "0 slices leave nothing"),
        ({"data": 3, "world_size": 4, "drop_last": True}, "3 slices leave nothing for each of 4"),
        ({"data": 5, "rank": 2, "world_size": 2}, "rank 2 does not exist in a world of 2"),
    ],
)
def test_impossible_requests_are_named(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ResumableDistributedSampler(**arguments)


@pytest.mark.parametrize("change", [{"count": 11}, {"seed": 1}])
def test_states_of_other_data_are_refused(change: dict[str, int]) -> None:
    sampler = ResumableDistributedSampler(10)
    with pytest.raises(ValueError, match="use the same data and seed"):
        sampler.load_state_dict(sampler.state_dict() | change)
