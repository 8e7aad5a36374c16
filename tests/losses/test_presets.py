from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import pytest

from lvm_med_monai.losses import GraphMatchingRecipe, preset

PAPER = {
    "graph_size": 16,
    "k": 5,
    "message_passing": "plain",
    "second_order": True,
    "weight_of_edges": 1.0,
    "alpha": 0.8,
    "local": "feature+location",
    "vertex_form": "sum",
    "vertex_noise": 1.0,
    "edge_noise": 1.0,
    "noise_centred": False,
    "margin": 0.0,
    "samples": 1,
    "estimator": "imle",
    "lambda_": 80.0,
}
STABLE = {
    "graph_size": 64,
    "k": 5,
    "message_passing": "residual",
    "message_passing_warm_up": 0.25,
    "second_order": True,
    "weight_of_edges": 0.2,
    "alpha": 0.8,
    "local": "feature",
    "vertex_form": "mean",
    "vertex_noise": 0.2,
    "edge_noise": 0.0,
    "noise_centred": True,
    "estimator": "sinkhorn",
    "temperature": 0.1,
}


@pytest.mark.parametrize(("name", "expected"), [("paper", PAPER), ("stable", STABLE)])
def test_presets(name, expected):
    recipe = preset(name)
    assert {field: getattr(recipe, field) for field in expected} == expected


def test_stable_is_the_default():
    assert preset() == preset("stable") == GraphMatchingRecipe()


@pytest.mark.parametrize(("cells", "kept"), [(1, 1), (9, 4), (49, 20), (196, 78)])
def test_default_gamma_is_the_papers_on_its_maps(cells, kept):
    assert preset("paper").matches_kept(cells) == kept
    assert preset(gamma=7).matches_kept(cells) == 7


def test_overrides():
    recipe = preset("paper", graph_size=8, edge_weight=None, local="none")
    assert (recipe.graph_size, recipe.weight_of_edges, recipe.local, recipe.lambda_) == (8, 0.2, "none", 80.0)


def test_recipes_do_not_change():
    with pytest.raises(FrozenInstanceError):
        preset().k = 3


BAD = {
    "k": [0, 64, 2.5, None],
    "graph_size": [0, 5],
    "message_passing": ["gat"],
    "message_passing_warm_up": [-0.1, 1.1],
    "edge_weight": [-1.0, float("nan")],
    "alpha": [-0.1, 1.5, "0.8"],
    "local": ["diagonal"],
    "gamma": [0, -3],
    "vertex_form": ["max"],
    "vertex_noise": [-0.1, float("inf")],
    "edge_noise": [-1],
    "margin": [-1],
    "samples": [0],
    "estimator": ["reinforce"],
    "lambda_": [0, -80],
    "temperature": [0],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_bad_values_name_their_field(name, value):
    with pytest.raises(ValueError, match=rf"\b{name} "):
        preset(**{name: value})


SWITCHES = {"second_order", "noise_centred", "adaptive", "gathered"}


def test_every_field_that_has_a_range_is_tested():
    assert set(BAD) == {field.name for field in fields(GraphMatchingRecipe)} - SWITCHES


def test_unknown_preset_and_field():
    with pytest.raises(ValueError, match="preset must be one of stable, paper, gathered, got 'fast'"):
        preset("fast")
    with pytest.raises(ValueError, match="unknown field graphsize; the fields of a recipe are graph_size, k, "):
        preset("paper", graphsize=3)


def test_graphs_over_all_ranks_come_without_local_term():
    recipe = preset("gathered", graph_size=16)
    assert recipe.gathered
    assert recipe.local == "none"
    assert recipe.estimator == "imle"
    assert not preset().gathered
    assert not preset().adaptive


def test_the_entropic_estimate_has_no_lambda_to_adapt():
    with pytest.raises(ValueError, match="adaptive belongs to the lambda of imle, got estimator = 'sinkhorn'"):
        preset(adaptive=True, estimator="sinkhorn")
