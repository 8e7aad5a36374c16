from __future__ import annotations

import pytest
import torch

from lvm_med_monai.engines import GraphMatchingObjective, PairObjective, PrepareTwoViews
from lvm_med_monai.graph import GraphEncoder
from lvm_med_monai.losses import GraphMatchingLoss, NTXentLoss, preset
from lvm_med_monai.networks import PretrainingNetwork, Projector, ResNetEncoder
from lvm_med_monai.transforms import MultiView, ViewPolicy


def network(recipe):
    torch.manual_seed(0)
    encoder = ResNetEncoder(18, width=8)
    graphs = GraphEncoder(32, recipe.graph_size, recipe.k, recipe.message_passing)
    return PretrainingNetwork(encoder, Projector(encoder.num_features, 32), graphs)


def test_a_batch_becomes_stacked_views_and_their_crops():
    prepare = PrepareTwoViews(MultiView(ViewPolicy(size=32)))
    views, crops = prepare({"image": torch.rand(5, 3, 40, 40)}, device="cpu")
    assert views.shape == (10, 3, 32, 32)
    assert views.is_contiguous(memory_format=torch.channels_last)
    assert crops.box.shape == (10, 4)


@pytest.mark.parametrize("local", ["none", "feature", "feature+location"])
@pytest.mark.parametrize("estimator", ["imle", "sinkhorn"])
def test_the_objective_reaches_backbone_projector_and_gate(local, estimator):
    recipe = preset("stable", graph_size=6, k=2, local=local, estimator=estimator)
    model = network(recipe)
    views, crops = PrepareTwoViews(MultiView(ViewPolicy(size=64)))({"image": torch.rand(13, 1, 64, 64)})
    objective = GraphMatchingObjective(GraphMatchingLoss(recipe))
    loss = objective(model(views), crops)
    loss.backward()
    assert torch.isfinite(loss)
    for name in ("encoder.conv1.weight", "projector.layers.weight", "graph_encoder.gate"):
        assert model.get_parameter(name).grad.abs().sum() > 0, name


def test_positions_reach_the_right_images():
    """Two graphs of four: the second graph of maps and positions must hold images 4 to 7."""
    recipe = preset("stable", graph_size=4, k=2)
    seen = {}

    class Spy(torch.nn.Module):
        recipe = preset("stable", graph_size=4, k=2)

        def forward(self, graphs_s, graphs_t, maps_s, maps_t, positions_s, positions_t):
            seen.update(maps_t=maps_t, positions_t=positions_t)
            return maps_s.sum()

    model = network(recipe).eval()
    views, crops = PrepareTwoViews(MultiView(ViewPolicy(size=64)))({"image": torch.rand(9, 1, 64, 64)})
    output = model(views)
    GraphMatchingObjective(Spy())(output, crops)
    assert seen["maps_t"].shape == (2, 4, 64, 2, 2)
    torch.testing.assert_close(seen["maps_t"][1], output.map_t[4:8])
    torch.testing.assert_close(seen["positions_t"][1], crops.positions(2, 2)[9 + 4 : 9 + 8])


def test_embedding_objective_is_the_loss_of_the_two_embeddings():
    model = PretrainingNetwork(ResNetEncoder(18, width=8), Projector(64, 16))
    views, crops = PrepareTwoViews(MultiView(ViewPolicy(size=32)))({"image": torch.rand(4, 3, 32, 32)})
    output = model(views)
    loss = NTXentLoss(temperature=0.1)
    torch.testing.assert_close(PairObjective(loss)(output, crops), loss(output.z_s, output.z_t))
