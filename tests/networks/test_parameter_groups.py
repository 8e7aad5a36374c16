from __future__ import annotations

import pytest
from torch import nn

from lvm_med_monai.networks import DinoViTEncoder, parameter_groups, scaled_rate


def by_name(network, groups):
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    return {names[id(p)]: (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}


def test_a_vits_layers_learn_slower_the_earlier_they_are():
    network = nn.ModuleDict({"encoder": DinoViTEncoder(28, dim=8, depth=4, heads=2), "head": nn.Linear(8, 2)})
    found = by_name(network, parameter_groups(network, 1.0, 0.04, layer_decay=0.9, patch_factor=0.2))
    assert found["head.weight"] == (pytest.approx(1.0), 0.04)
    assert found["head.bias"] == (pytest.approx(1.0), 0)
    for block in range(4):
        assert found[f"encoder.blocks.{block}.attn.qkv.weight"] == (pytest.approx(0.9 ** (4 - block)), 0.04)
    assert found["encoder.blocks.3.ls1.gamma"] == (pytest.approx(0.9), 0)
    assert found["encoder.pos_embed"] == (pytest.approx(0.9**5), 0.04)
    assert found["encoder.patch_embed.proj.weight"] == (pytest.approx(0.9**5 * 0.2), 0.04)
    assert found["encoder.norm.weight"] == (pytest.approx(1.0), 0)
    assert len(found) == len(list(network.parameters()))


def test_networks_without_blocks_have_one_rate_and_what_is_frozen_is_left_out():
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).requires_grad_(False))
    found = by_name(network, parameter_groups(network, 0.3, 1e-6))
    assert found == {"0.weight": (0.3, 1e-6), "0.bias": (0.3, 0)}


@pytest.mark.parametrize("decay", [0, 1.1])
def test_a_layer_decay_outside_its_range_is_refused(decay):
    with pytest.raises(ValueError, match=r"factor in \(0, 1\]"):
        parameter_groups(nn.Linear(1, 1), 1, 1, layer_decay=decay)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [((0.3, 512), 0.6), ((0.3, 64, 256), 0.075), ((0.004, 4096, 1024, "sqrt"), 0.008)],
    ids=["linear", "smaller", "square root"],
)
def test_rates_grow_with_the_batch(arguments, expected):
    assert scaled_rate(*arguments) == pytest.approx(expected)


def test_an_unknown_rule_is_refused():
    with pytest.raises(ValueError, match="linear, sqrt, got 'cubic'"):
        scaled_rate(1, 1, 1, "cubic")
