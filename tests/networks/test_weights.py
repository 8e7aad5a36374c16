from __future__ import annotations

import pytest
import torch

from lvm_med_monai.networks import PretrainingNetwork, Projector, ResNetEncoder, load_backbone


@pytest.fixture(scope="module")
def source():
    torch.manual_seed(1)
    return ResNetEncoder(18, width=8)


def prefixed(state, prefix):
    return {prefix + name: tensor for name, tensor in state.items()}


WRITERS = {
    "bare, as LVM-Med publishes it": lambda s: s,
    "torchvision with classifier": lambda s: {**s, "fc.weight": torch.zeros(5, 64), "fc.bias": torch.zeros(5)},
    "state_dict wrapper": lambda s: {"epoch": 3, "state_dict": s},
    "model wrapper": lambda s: {"model": s},
    "module prefix": lambda s: prefixed(s, "module."),
    "module and backbone prefix": lambda s: {"state_dict": prefixed(s, "module.backbone.")},
    "whole pretraining network": lambda s: {**prefixed(s, "encoder."), "projector.layers.weight": torch.zeros(2, 64)},
    "no batch-norm counters": lambda s: {k: v for k, v in s.items() if not k.endswith("num_batches_tracked")},
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS.keys())
def test_every_published_layout_loads_exactly(source, write, tmp_path):
    torch.save(write(source.state_dict()), tmp_path / "weights.pt")
    loaded = load_backbone(ResNetEncoder(18, width=8), tmp_path / "weights.pt")
    for name, tensor in loaded.state_dict().items():
        torch.testing.assert_close(tensor, source.state_dict()[name], msg=name)


def test_none_leaves_the_network_alone(source):
    before = {name: tensor.clone() for name, tensor in source.state_dict().items()}
    assert load_backbone(source, None) is source
    assert all(torch.equal(before[name], tensor) for name, tensor in source.state_dict().items())


BROKEN = {
    "missing tensor": (
        lambda s: {k: v for k, v in s.items() if k != "conv1.weight"},
        r"1 tensors missing \(such as conv1.weight",
    ),
    "unknown tensor": (lambda s: {**s, "neck.weight": torch.zeros(1)}, r"1 tensors unknown \(such as neck.weight"),
    "other width": (
        lambda s: ResNetEncoder(18, width=16).state_dict(),
        r"tensors of another shape \(such as bn1|tensors of another shape",
    ),
    "a list": (lambda s: [1, 2], "holds no state dict of tensors"),
    "empty": (lambda s: {}, "holds no state dict of tensors"),
}


@pytest.mark.parametrize(("write", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_a_file_that_does_not_fit_is_an_error_and_changes_nothing(source, write, message, tmp_path):
    torch.save(write(source.state_dict()), tmp_path / "weights.pt")
    target = ResNetEncoder(18, width=8)
    before = target.conv1.weight.clone()
    with pytest.raises(ValueError, match=message):
        load_backbone(target, tmp_path / "weights.pt")
    assert torch.equal(target.conv1.weight, before)


def test_a_missing_file_names_the_cure(tmp_path):
    with pytest.raises(FileNotFoundError, match="give a file, or null to train from scratch"):
        load_backbone(ResNetEncoder(18, width=8), tmp_path / "absent.pt")


def test_pickled_objects_are_refused(tmp_path):
    torch.save(Projector(2, 2), tmp_path / "weights.pt")
    with pytest.raises(Exception, match=r"[Ww]eights.only|Unsupported"):
        load_backbone(ResNetEncoder(18, width=8), tmp_path / "weights.pt")


@pytest.mark.parametrize("content", [b"", b"garbage", b"\xff" * 64], ids=["empty", "text", "bytes"])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_file_that_is_no_weights_is_named(tmp_path, suffix, content):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match=rf"^weights{suffix} cannot be read as weights alone \(.+\): .+; get the file again"
    ):
        load_backbone(ResNetEncoder(18, width=8), path)


def test_pretraining_network_splits_source_and_target_views():
    network = PretrainingNetwork(ResNetEncoder(18, width=8), Projector(64, 16)).eval()
    views = torch.randn(6, 3, 32, 32)
    output = network(views)
    assert output.graphs_s is None
    torch.testing.assert_close(torch.cat([output.z_s, output.z_t]), network.embed(views))
    with pytest.raises(ValueError, match="stacked along the batch, got 5 images"):
        network(views[:5])
