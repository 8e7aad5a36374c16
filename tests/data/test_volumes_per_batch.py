from __future__ import annotations

import pytest

from lvm_med_monai.data import volumes_per_batch


@pytest.mark.parametrize(("slices", "each", "volumes"), [(16, 16, 1), (16, 4, 4), (8, 1, 8)])
def test_slices_of_whole_volumes_fill_a_batch(slices, each, volumes):
    assert volumes_per_batch(slices, each) == volumes


@pytest.mark.parametrize(("slices", "each"), [(2, 16), (24, 16), (0, 1), (16, 0), (-16, 16)])
def test_other_batches_are_refused(slices, each):
    with pytest.raises(ValueError, match=f"batch_size {slices} counts slices.*slices_per_volume {each}: make it"):
        volumes_per_batch(slices, each)
