from __future__ import annotations

import pytest
import torch

from lvm_med_monai.graph import cut_into_graphs


@pytest.mark.parametrize(
    ("images", "graph_size", "graphs"),
    [(16, 16, 1), (31, 16, 1), (32, 16, 2), (200, 16, 12), (3, 1, 3)],
)
def test_consecutive_images_share_a_graph_and_the_remainder_none(images, graph_size, graphs):
    x = torch.arange(images * 2).view(images, 2)
    cut = cut_into_graphs(x, graph_size)
    assert cut.shape == (graphs, graph_size, 2)
    assert torch.equal(cut.flatten(0, 1), x[: graphs * graph_size])


def test_dense_maps_keep_their_axes():
    assert cut_into_graphs(torch.zeros(9, 5, 3, 2), 4).shape == (2, 4, 5, 3, 2)


@pytest.mark.parametrize("images", [0, 15])
def test_a_batch_smaller_than_a_graph_names_both_numbers_and_the_cure(images):
    with pytest.raises(
        ValueError, match=rf"batch of {images} images fills no graph of 16 nodes.*batch size of at least"
    ):
        cut_into_graphs(torch.zeros(images, 2), 16)
