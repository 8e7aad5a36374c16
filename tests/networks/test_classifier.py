from __future__ import annotations

import pytest
import torch
from torch import nn

from lvm_med_monai.networks import Classifier, ResNetEncoder, SliceEmbedding, load_backbone, load_embedding

SMALL = {"depth": 18, "width": 8}
TINY_VIT = {"image_size": 64, "dim": 32, "depth": 4, "heads": 2, "window": 3}


def images(n=3, size=64):
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(0))


def statistics(network):
    return [value.clone() for name, value in network.encoder.state_dict().items() if "running" in name]


def test_the_linear_head_is_one_map_of_pooled_features():
    network = Classifier(5, **SMALL).eval()
    expected = network.encoder(images()) @ network.head.weight.T + network.head.bias
    torch.testing.assert_close(network(images()), expected)


@pytest.mark.parametrize(
    ("hidden", "shapes"), [((512, 256), [(512, 64), (256, 512), (4, 256)]), ((7,), [(7, 64), (4, 7)])]
)
def test_the_perceptron_has_the_papers_layers_with_relu_between(hidden, shapes):
    head = Classifier(4, head="fcns", hidden=hidden, **SMALL).head
    assert [tuple(layer.weight.shape) for layer in head if isinstance(layer, nn.Linear)] == shapes
    assert [type(layer) for layer in head[1::2]] == [nn.ReLU] * len(hidden)
    assert isinstance(head[-1], nn.Linear)


def test_a_frozen_backbone_gets_no_gradient_and_keeps_its_statistics():
    network = Classifier(2, frozen=True, **SMALL).train()
    before = statistics(network)
    network(images()).sum().backward()
    assert all(parameter.grad is None for parameter in network.encoder.parameters())
    assert network.head.weight.grad is not None
    assert all(torch.equal(a, b) for a, b in zip(before, statistics(network), strict=True))
    torch.testing.assert_close(network(images()), network.eval()(images()))


def test_the_papers_quirk_moves_the_statistics_of_a_frozen_backbone():
    network = Classifier(2, frozen=True, moving_statistics=True, **SMALL).train()
    before = statistics(network)
    network(images())
    assert not all(torch.equal(a, b) for a, b in zip(before, statistics(network), strict=True))
    assert not any(parameter.requires_grad for parameter in network.encoder.parameters())


def test_a_whole_network_trains_everything():
    network = Classifier(2, **SMALL).train()
    network(images()).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize(
    "options",
    [SMALL, {**SMALL, "frozen": True, "head": "fcns"}, {"backbone": "vit", "vit": TINY_VIT}],
    ids=["resnet", "frozen fcns", "vit"],
)
@pytest.mark.filterwarnings("ignore")  # torch.jit warns about its own future
def test_it_scripts_with_the_same_numbers(options):
    network = Classifier(3, **options).eval()
    with torch.no_grad():
        torch.testing.assert_close(torch.jit.script(network)(images()), network(images()))


@pytest.mark.parametrize(
    "network", [Classifier(3, **SMALL), SliceEmbedding(rank=2, **SMALL)], ids=["scores", "features"]
)
def test_it_exports_with_the_same_numbers(network):
    network = network.eval()
    program = torch.export.export(network, (images(),)).module()
    with torch.no_grad():
        torch.testing.assert_close(program(images()), network(images()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 0}, "at least one class"),
        ({"num_classes": 2, "head": "mlp"}, "no head 'mlp'"),
        ({"num_classes": 2, "head": "fcns", "hidden": ()}, "needs sizes of hidden layers"),
        ({"num_classes": 2, "backbone": "swin"}, "no backbone 'swin'"),
    ],
)
def test_wrong_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Classifier(**options)


def test_an_untrained_embedding_is_the_encoders():
    network = SliceEmbedding(rank=4, **SMALL).eval()
    with torch.no_grad():
        torch.testing.assert_close(network(images()), network.encoder(images()))
        network.change[1].weight.fill_(0.1)
        assert not torch.allclose(network(images()), network.encoder(images()))


def test_an_embedding_loads_what_it_wrote_and_bare_backbones(tmp_path):
    trained = SliceEmbedding(rank=4, **SMALL).eval()
    nn.init.normal_(trained.change[1].weight)
    torch.save(trained.state_dict(), tmp_path / "own.pt")
    torch.save(trained.encoder.state_dict(), tmp_path / "backbone.pt")
    with torch.no_grad():
        loaded = load_embedding(SliceEmbedding(rank=4, **SMALL).eval(), tmp_path / "own.pt")
        torch.testing.assert_close(loaded(images()), trained(images()))
        bare = load_embedding(SliceEmbedding(rank=4, **SMALL).eval(), tmp_path / "backbone.pt")
        torch.testing.assert_close(bare(images()), trained.encoder(images()))


def test_embedding_weights_of_another_kind_are_refused(tmp_path):
    network = SliceEmbedding(rank=4, **SMALL)
    torch.save(network.state_dict(), tmp_path / "own.pt")
    torch.save(ResNetEncoder(depth=18, width=16).state_dict(), tmp_path / "wide.pt")
    with pytest.raises(ValueError, match=r"own.pt do not fit this embedding; .* another rank"):
        load_embedding(SliceEmbedding(rank=5, **SMALL), tmp_path / "own.pt")
    with pytest.raises(ValueError, match=r"wide.pt do not fit ResNetEncoder"):
        load_embedding(network, tmp_path / "wide.pt")
    with pytest.raises(FileNotFoundError, match="no weights at"):
        load_embedding(network, tmp_path / "absent.pt")
    with pytest.raises(ValueError, match="1 or more, got 0"):
        SliceEmbedding(rank=0, **SMALL)


def test_the_encoder_takes_backbone_weights(tmp_path):
    source = ResNetEncoder(**SMALL)
    torch.save(source.state_dict(), tmp_path / "model.pt")
    network = Classifier(2, **SMALL)
    load_backbone(network.encoder, tmp_path / "model.pt")
    torch.testing.assert_close(network.encoder.conv1.weight, source.conv1.weight)
