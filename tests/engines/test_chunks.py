from __future__ import annotations

import pytest
import torch

from lvm_med_monai.engines import ChunkedInferer


@pytest.mark.parametrize(("images", "size", "parts"), [(5, 2, [2, 2, 1]), (4, 2, [2, 2]), (3, 10, [3]), (1, 1, [1])])
def test_parts_are_joined_in_order(images, size, parts):
    seen = []

    def network(part):
        seen.append(len(part))
        return part.sum((1, 2, 3))

    inputs = torch.randn(images, 3, 4, 4)
    torch.testing.assert_close(ChunkedInferer(size)(inputs, network), inputs.sum((1, 2, 3)))
    assert seen == parts


def test_no_images_at_a_time_are_refused():
    with pytest.raises(ValueError, match="at least one image, got 0"):
        ChunkedInferer(0)
