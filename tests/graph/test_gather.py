from __future__ import annotations

import torch

from lvm_med_monai.graph import GraphEncoder, gather_nodes, world_size


def test_one_process_is_a_world_of_one():
    x = torch.rand(2, 3, 4, requires_grad=True)
    assert world_size() == 1
    assert gather_nodes(x) is x


def test_a_gathered_encoder_of_one_process_is_the_plain_one():
    z = torch.randn(20, 8, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    plain = GraphEncoder(8, graph_size=10, k=2)
    torch.manual_seed(0)
    gathered = GraphEncoder(8, graph_size=10, k=2, gathered=True)
    for x, y in zip(plain(z), gathered(z), strict=True):
        assert torch.equal(x, y)
