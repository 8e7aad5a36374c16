from __future__ import annotations

import pytest

from lvm_med_monai.engines import check_batches


@pytest.mark.parametrize(("slices", "batch", "graph"), [(64, 64, 64), (1000, 200, 16)])
def test_a_set_up_that_works_passes(slices, batch, graph):
    check_batches(range(slices), batch, graph)


@pytest.mark.parametrize(
    ("slices", "batch", "graph", "message"),
    [
        (1000, 32, 64, "a batch of 32 images holds no graph of 64 nodes: raise batch_size or lower graph_size"),
        (50, 64, 16, "50 training slices do not fill one batch of 64 images: extract more slices"),
        (0, 16, 16, "0 training slices"),
    ],
)
def test_a_set_up_that_cannot_work_says_why(slices, batch, graph, message):
    with pytest.raises(ValueError, match=message):
        check_batches(range(slices), batch, graph)
