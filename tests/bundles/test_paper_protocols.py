"""The overlay ``paper.json`` of every bundle, against the published protocols."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from tests.bundles.conftest import BUNDLES, ROOT
from tests.bundles.protocol_facts import FACTS, Configuration, table

TABLE = table()
CONFIGURATIONS = [(name, overlays) for name, entry in TABLE["bundles"].items() for overlays in entry["configurations"]]
SHARED_BY_ALL = ("paper.json",)
"""Overlays that follow everything a protocol says; others follow what their own entry says."""


def test_every_bundle_of_the_paper_has_an_entry_and_the_other_way_round():
    of_the_paper = {bundle.name for bundle in BUNDLES if (bundle / "configs" / "paper.json").is_file()}
    assert of_the_paper == set(TABLE["bundles"])


def wanted(name: str, overlays: str) -> dict[str, Any]:
    """Facts of a configuration: those of the bundle over those of its protocols."""
    entry = TABLE["bundles"][name]
    facts: dict[str, Any] = {}
    own = [entry["configurations"][overlays]]
    shared = [TABLE["protocols"][protocol]["facts"] for protocol in entry["protocols"]]
    for part in (shared if overlays.startswith(SHARED_BY_ALL) else []) + own:
        values = {**facts.get("values", {}), **part.get("values", {})}
        facts |= {**part, "values": values}
    return facts


def agrees(expected: Any, found: Any) -> bool:
    """Numbers to 1e-9; of a mapping the entries that are named; shares of 200 draws to about three deviations."""
    if isinstance(expected, dict):
        if not isinstance(found, dict) or not expected.keys() <= found.keys():
            return False
        shares = {key: abs(found[key] - expected[key]) <= 0.1 for key in ("mirror", "autocontrast") if key in expected}
        return all(shares.get(key, agrees(value, found[key])) for key, value in expected.items())
    if isinstance(expected, float):
        return isinstance(found, (int, float)) and bool(np.isclose(expected, found, rtol=1e-9, atol=0))
    return expected == found or (isinstance(found, (list, tuple)) and expected == list(found))


@pytest.mark.parametrize(("name", "overlays"), CONFIGURATIONS, ids=[" ".join(pair) for pair in CONFIGURATIONS])
def test_configurations_follow_the_published_protocol(name, overlays):
    config = Configuration(ROOT / "bundles" / name, overlays.split(" + "))
    facts = wanted(name, overlays)
    values = facts.pop("values")
    found = {fact: FACTS[fact](config) for fact in facts} | {path: config.value(path) for path in values}
    differing = {
        fact: {"published": expected, "configured": found[fact]}
        for fact, expected in {**facts, **values}.items()
        if not agrees(expected, found[fact])
    }
    assert not differing


DEFAULTS_DIFFER = {
    "colon_polyp_endoscopy_segmentation": {
        "optimizer",
        "resize",
        "normalisation",
        "channel_order",
        "loss",
        "gradient_norm",
        "drop_last",
        "seed",
        "amp",
    },
    "whole_heart_ct_segmentation": {"normalisation", "metric", "batch_size", "loss"},
    "diabetic_retinopathy_fundus_classification": {"random_at_test", "resize", "metric", "optimizer", "amp"},
    "colon_polyp_endoscopy_detection": {"normalisation", "optimizer", "learning_rate", "detector", "amp"},
}


@pytest.mark.parametrize("name", DEFAULTS_DIFFER)
def test_facts_tell_the_default_from_the_published_protocol(name):
    config = Configuration(ROOT / "bundles" / name, [])
    facts = wanted(name, "paper.json")
    differing = {fact for fact in DEFAULTS_DIFFER[name] if not agrees(facts[fact], FACTS[fact](config))}
    assert differing == DEFAULTS_DIFFER[name]


@pytest.mark.parametrize("name", TABLE["bundles"])
def test_pages_name_what_is_odd_in_the_protocol_and_whose_figures_they_show(name):
    page = (ROOT / "bundles" / name / "docs" / "README.md").read_text(encoding="utf-8")
    entry = TABLE["bundles"][name]
    patterns = dict(entry["page"])
    for protocol in entry["protocols"]:
        patterns |= TABLE["protocols"][protocol].get("page", {})
    lacking = [told for told, pattern in patterns.items() if not re.search(pattern, page)]
    assert not lacking, f"the page says nothing of: {', '.join(lacking)}"
    paragraphs = re.split(r"\n\s*\n", page)
    for score in entry["scores"]:
        holding = [index for index, paragraph in enumerate(paragraphs) if score in paragraph]
        assert holding, f"the page does not show the paper's {score}"
        # a table is attributed by the paragraph above it
        for index in holding:
            around = " ".join(paragraphs[max(0, index - 1) : index + 1])
            assert re.search(r"[Pp]aper", around), f"{score} is not attributed"


@pytest.mark.parametrize("name", TABLE["bundles"])
def test_entries_name_facts_that_can_be_found(name):
    named = {fact for overlays in TABLE["bundles"][name]["configurations"] for fact in wanted(name, overlays)}
    assert named - {"values"} <= FACTS.keys()
