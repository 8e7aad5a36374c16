from __future__ import annotations

import numpy as np
import pytest
import torch

from lvm_med_monai.graph import GraphEncoder, knn_edges


def images(count: int = 14, features: int = 6, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, features, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def encoder(message_passing: str, **options: object) -> GraphEncoder:
    torch.manual_seed(0)
    return GraphEncoder(6, graph_size=7, k=3, message_passing=message_passing, **options).double()


def gcn_by_hand(z: np.ndarray, edges: np.ndarray, model: GraphEncoder) -> np.ndarray:
    """ReLU between two layers of ``D^-1/2 (A + I) D^-1/2 X W + b`` with the matrices written out."""
    adjacency = np.eye(len(z))
    for i, j in edges:
        adjacency[i, j] = 1.0
    scale = np.diag(adjacency.sum(axis=1) ** -0.5)
    normalised = scale @ adjacency @ scale
    x = z
    for index, layer in enumerate((model.convolution1.linear, model.convolution2.linear)):
        x = normalised @ (x @ layer.weight.detach().numpy().T + layer.bias.detach().numpy())
        x = np.maximum(x, 0) if index == 0 else x
    return x


@pytest.mark.parametrize(
    ("message_passing", "residual", "share"), [("plain", 0.0, 1.0), ("residual", 1.0, 0.5), ("none", 1.0, 0.0)]
)
def test_values_equal_the_written_out_convolution(message_passing, residual, share):
    model = encoder(message_passing)
    view = model(images())
    assert view.z.shape == view.h.shape == (2, 7, 6)
    assert torch.equal(view.edges, knn_edges(view.z, 3))
    for z, h, edges in zip(view.z.numpy(), view.h.detach().numpy(), view.edges.numpy(), strict=True):
        gcn = gcn_by_hand(z, edges, model) if share else 0.0
        np.testing.assert_allclose(h, residual * z + share * gcn, atol=1e-12)


def test_warm_up_passes_features_through_and_uses_every_parameter():
    model = encoder("residual", active=False)
    view = model(images())
    assert torch.equal(view.h, view.z)
    view.h.sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    model.set_active(True)
    assert not torch.equal(model(images()).h, view.z)
    assert model.state_dict()["active"] == 1


def test_gate_learns_after_the_warm_up():
    model = encoder("residual")
    model(images()).h.square().sum().backward()
    assert model.gate.grad.abs() > 0


def test_without_message_passing_there_are_no_parameters():
    model = encoder("none")
    model.set_active(True)
    assert list(model.parameters()) == []
    assert model.state_dict() == {}


def test_relabelling_the_images_relabels_the_graph():
    model = encoder("residual")
    z, order = images(7), torch.randperm(7, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(model(z[order]).h[0], model(z).h[0][order])


def test_autocast_does_not_reach_the_graph():
    model = encoder("residual").float()
    z = images().float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = model(z)
    assert inside.h.dtype == torch.float32
    assert torch.equal(inside.h, model(z).h)
    assert model(z.bfloat16()).h.dtype == torch.float32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"message_passing": "gat"}, "message_passing must be one of residual, plain, none, got 'gat'"),
        ({"k": 7, "graph_size": 7}, "got k = 7 and graph_size = 7"),
        ({"k": 0}, "got k = 0"),
    ],
    ids=["mode", "k too large", "k zero"],
)
def test_options_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        GraphEncoder(6, **options)


@pytest.mark.parametrize(
    ("z", "message"),
    [
        (torch.zeros(6, 6), "batch of 6 images fills no graph of 7 nodes"),
        (torch.zeros(7, 5), r"z must have shape \(images, 6\), got \(7, 5\)"),
        (torch.zeros(7), r"z must have shape"),
    ],
    ids=["few images", "channels", "rank"],
)
def test_inputs_are_checked(z, message):
    with pytest.raises(ValueError, match=message):
        encoder("none")(z)
