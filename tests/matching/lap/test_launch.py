from __future__ import annotations

import pytest
import torch

from lvm_med_monai.matching.lap.launch import WARPS, arithmetic_of, most_nodes, settings_for


@pytest.mark.parametrize(
    ("nodes", "dtype", "expected"),
    [
        (1, torch.float32, (32, 1)),
        (32, torch.bfloat16, (32, 1)),
        (33, torch.float16, (64, 1)),
        (200, torch.float32, (256, 2)),
        (4096, torch.float32, (4096, 16)),
        (128, torch.float64, (128, 2)),
        (1025, torch.float64, (2048, 16)),
    ],
)
def test_settings(nodes, dtype, expected):
    assert settings_for(nodes, dtype) == expected


def test_every_size_up_to_the_limit_has_settings():
    for dtype in (torch.float32, torch.float64):
        for nodes in range(1, most_nodes(dtype) + 1):
            block, warps = settings_for(nodes, dtype)
            assert nodes <= block <= max(32, 2 * nodes)
            assert warps in (1, 2, 4, 8, 16)


def test_arithmetic():
    assert [arithmetic_of(t) for t in (torch.float16, torch.bfloat16, torch.float32)] == [torch.float32] * 3
    assert arithmetic_of(torch.float64) == torch.float64
    assert (most_nodes(torch.float16), most_nodes(torch.float64)) == (max(WARPS["float32"]), max(WARPS["float64"]))
