from __future__ import annotations

import math

import pytest
from lightly.utils.scheduler import cosine_schedule

from lvm_med_monai.engines import Progress, cosine, warm_up


@pytest.mark.parametrize("step", [0, 1, 37, 98, 99, 150])
def test_the_cosine_is_lightlys_and_the_closed_form(step):
    value = cosine(step, 100, 0.996, 1.0)
    if step < 100:
        assert value == pytest.approx(cosine_schedule(step, 100, 0.996, 1.0))
        assert value == pytest.approx(1 - 0.004 * (math.cos(math.pi * step / 99) + 1) / 2)
    else:
        assert value == 1.0


@pytest.mark.parametrize(
    ("step", "expected"), [(0, 0.04), (5, 0.055), (10, 0.07), (11, 0.07)], ids=["start", "middle", "end", "after"]
)
def test_the_warm_up_is_a_line(step, expected):
    assert warm_up(step, 11, 0.04, 0.07) == pytest.approx(expected)


@pytest.mark.parametrize("schedule", [cosine, warm_up])
@pytest.mark.parametrize("steps", [0, 1])
def test_a_schedule_of_no_length_is_at_its_end(schedule, steps):
    assert schedule(0, steps, 0.1, 0.2) == 0.2


def test_progress_counts_the_steps_of_the_schedule():
    assert Progress(step=5, epoch=1, epoch_length=4, epochs=3).steps == 12
