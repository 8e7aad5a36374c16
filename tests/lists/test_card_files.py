"""Reading cards: what a fault is called, and where cards are found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import lvm_med_monai
from lvm_med_monai.lists.card_files import cards_folder, find_card, load_cards, read_card
from tests.lists.layouts import card_of


def write(folder: Path, raw: object, name: str = "some_set", collection: str = "pretraining") -> Path:
    path = folder / collection / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(raw if isinstance(raw, str) else json.dumps(raw), encoding="utf-8")
    return path


def changed(**fields):
    return {**card_of("some_set"), **fields}


def files(**fields):
    entry = {"role": "image", "glob": "*.png", "required": True, "note": None, **fields}
    return {"family": "image_folders", "files": [entry], "pair": None, "label_from": None}


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("{", "Expecting"),
        ([], "no JSON object"),
        (changed(schema_version=2), "schema_version is 2"),
        (changed(id="other"), "id is other"),
        ({k: v for k, v in card_of("some_set").items() if k != "layout"}, "layout"),
        (changed(dimensions=4), "dimensions must be one of 2, 3"),
        (changed(layout=files(role="picture")), "role must be one of image"),
        (changed(layout=files(glob="/data/*.png")), "below the root"),
        (changed(layout=files(glob="../*.png")), "below the root"),
        (changed(layout=files(role="label")), "no file of role image"),
        (changed(layout={**files(), "family": "zarr"}), "layout.family must be"),
        (changed(layout={**files(), "pair": "([0-9]+"}), "layout.pair is no regular expression"),
        (changed(layout={**files(), "pair": "[0-9]+"}), "exactly one group, and has 0"),
        (changed(patient={"pattern": "(a)(b)", "space": None}), "exactly one group, and has 2"),
        (changed(split={"rule": "random", "unit": "image", "parts": {}}), "split.rule must be"),
        (changed(split={"rule": "seeded", "unit": "image", "parts": {"train": 1}}), "need a seed"),
        (changed(split={"rule": "none", "unit": "organ", "parts": {}}), "split.unit must be"),
        (changed(labels=3), "of another type"),
    ],
    ids=[
        "no_json", "list", "version", "id", "no_layout", "dimensions", "role", "absolute", "above", "no_image",
        "family", "expression", "no_group", "two_groups", "rule", "no_seed", "unit", "type",
    ],
)  # fmt: skip
def test_a_fault_is_named_with_its_card(tmp_path, raw, message):
    path = write(tmp_path, raw)
    with pytest.raises(ValueError, match=message) as error:
        read_card(path)
    assert "some_set.json" in str(error.value)


def test_cards_come_in_the_order_of_the_paper(tmp_path):
    write(tmp_path, {**card_of("b"), "paper": {"folder": "B", "table_13_number": 1}}, "b")
    write(tmp_path, {**card_of("a"), "paper": {"folder": "A", "table_13_number": 2}}, "a")
    write(tmp_path, card_of("c"), "c")
    write(tmp_path, card_of("d"), "d", "downstream")
    cards = load_cards(tmp_path)
    assert list(cards) == ["b", "a", "c", "d"]
    assert cards["b"].paper_folder == "B"
    assert cards["d"].paper_folder is None
    assert cards["d"].collection == "downstream"


def test_two_cards_of_one_id_are_an_error(tmp_path):
    write(tmp_path, card_of("a"), "a")
    write(tmp_path, card_of("a"), "a", "downstream")
    with pytest.raises(ValueError, match="another card has the id a"):
        load_cards(tmp_path)


def test_a_folder_without_cards_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no cards"):
        load_cards(tmp_path)


def test_a_name_that_is_nearly_right_is_suggested(tmp_path):
    write(tmp_path, card_of("kvasir_seg"), "kvasir_seg")
    with pytest.raises(ValueError, match="kvasir_seg"):
        find_card(load_cards(tmp_path), "kvasirseg")
    with pytest.raises(ValueError, match="lists show"):
        find_card(load_cards(tmp_path), "xyz")


@pytest.mark.parametrize("place", ["inside", "beside"])
def test_cards_are_found_in_a_wheel_and_in_a_checkout(tmp_path, monkeypatch, place):
    package = tmp_path / "site" / "lvm_med_monai"
    folder = (package if place == "inside" else package.parent) / "dataset_lists"
    package.mkdir(parents=True)
    write(folder, card_of("some_set"))
    monkeypatch.setattr(lvm_med_monai, "__file__", str(package / "__init__.py"))
    assert cards_folder() == folder
    assert list(load_cards()) == ["some_set"]


def test_no_cards_anywhere_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(lvm_med_monai, "__file__", str(tmp_path / "lvm_med_monai" / "__init__.py"))
    with pytest.raises(FileNotFoundError, match="--cards"):
        cards_folder()
