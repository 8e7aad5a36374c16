"""The command line: what it prints, its exit status, and what a user reads who gives something wrong."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from lvm_med_monai.lists.__main__ import COMMANDS, main
from lvm_med_monai.lists.card_files import load_cards
from lvm_med_monai.lists.picture import counts_of, draw, region_of
from lvm_med_monai.lists.table import with_table
from lvm_med_monai.slices import read_manifest
from tests.lists.layouts import LAYOUTS, card_of

ROOT = Path(__file__).resolve().parents[2]
ON = ("class_folders", "image_mask_pairs", "luna_metaimage")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Cards, a folder of their downloads, and a clone with lists."""
    root = tmp_path_factory.mktemp("place")
    for number, name in enumerate(ON):
        folder = root / "cards" / ("pretraining" if number else "downstream")
        folder.mkdir(parents=True, exist_ok=True)
        paper = {"folder": "LUNA", "table_13_number": 27} if name == "luna_metaimage" else None
        raw = {**LAYOUTS[name].card(name), "paper": paper}
        (folder / f"{name}.json").write_text(json.dumps(raw), encoding="utf-8")
        (root / "downloads" / name).mkdir(parents=True)
        LAYOUTS[name].build(root / "downloads" / name)
    lists = root / "clone" / "lvm-med-training-data" / "LUNA"
    lists.mkdir(parents=True)
    (lists / "file_list.txt").write_text("1.3.6.1.4.1.14519.5.2.1.6279.6001.100530488926682752765845212281.mhd\n")
    return root


@pytest.fixture
def run(place, capsys):
    def call(*arguments: object, status: int = 0, as_json: bool = True):
        options = ["--json"] if as_json else []
        assert main([*map(str, arguments), "--cards", str(place / "cards"), *options]) == status
        said = capsys.readouterr()
        return json.loads(said.out) if as_json and status != 2 else said.out + said.err

    return call


def test_show_lists_and_shows(run):
    assert [card["id"] for card in run("show")["cards"]] == ["luna_metaimage", "image_mask_pairs", "class_folders"]
    assert run("show", "luna_metaimage")["dimensions"] == 3
    assert "1 of 3 cards" in run("show", "--collection", "downstream", as_json=False)
    assert run("show", "--modality", "US", status=1)["cards"] == []


def test_check_tells_what_is_missing(run, place, tmp_path):
    assert run("check", "luna_metaimage", place / "downloads" / "luna_metaimage")["complete"]
    assert len(run("check", "--all", place / "downloads")["checks"]) == 3
    (tmp_path / "x.txt").write_text("")
    said = run("check", "luna_metaimage", tmp_path, status=1, as_json=False)
    assert "INCOMPLETE" in said
    assert "no file subset*/*.mhd" in said
    assert "leftover: 1" in said


def test_datalist_is_written_with_paths_from_its_folder(run, place, tmp_path):
    download = place / "downloads" / "image_mask_pairs"
    assert run("datalist", "image_mask_pairs", download, "-o", download / "dataset.json")["sizes"] == {
        "training": 6, "validation": 2, "test": 2,
    }  # fmt: skip
    run("datalist", "image_mask_pairs", download, "-o", tmp_path / "dataset.json")
    for path in (download / "dataset.json", tmp_path / "dataset.json"):
        for entry in json.loads(path.read_text())["training"]:
            assert (path.parent / entry["image"]).is_file()
            assert (path.parent / entry["label"]).is_file()
    (download / "dataset.json").unlink()


def test_what_was_seen_can_be_left_out(run, place, tmp_path):
    download = place / "downloads" / "luna_metaimage"
    options = ("luna_metaimage", download, "-o", tmp_path / "d.json", "--unseen", place / "clone")
    assert run("datalist", *options)["seen_left_out"] == 1
    assert len(json.loads((tmp_path / "d.json").read_text())["training"]) == 2


def test_extract_takes_all_downloads_into_one_folder(run, place, tmp_path):
    options = ("-o", tmp_path / "slices", "--split", "train", "--workers", 0, "--every-mm", 0)
    done = run("extract", place / "downloads", *options, "--unseen", place / "clone")
    assert done["cards"] == ["luna_metaimage", "image_mask_pairs", "class_folders"]
    manifest = read_manifest(tmp_path / "slices")
    assert manifest.num_rows == done["slices"] == 8 + 10 + 12
    assert set(manifest["dataset"].to_pylist()) == set(done["cards"])
    found = run("duplicates", tmp_path / "slices", "-o", tmp_path / "pairs.json", status=1)
    assert found["by_sets"] == {
        "class_folders - image_mask_pairs": len(json.loads((tmp_path / "pairs.json").read_text()))
    }


@pytest.mark.parametrize("kind", ["folder", "datalist", "text"])
def test_overlap_reads_folders_datalists_and_texts(run, place, tmp_path, kind):
    download = place / "downloads" / "luna_metaimage"
    names = [str(path.relative_to(download)) for path in sorted(download.rglob("*.mhd"))]
    given = {"folder": download, "datalist": tmp_path / "x.json", "text": tmp_path / "x.txt"}[kind]
    (tmp_path / "x.json").write_text(
        json.dumps({"training": [{"image": names[0]}], "test": [{"image": n} for n in names[1:]]})
    )
    (tmp_path / "x.txt").write_text("\n".join(names))
    found = run("overlap", given, "--clone", place / "clone", "-o", tmp_path / "seen.json", status=1)
    assert found["seen"] == (2 if kind == "folder" else 1)  # in the folder, the pixel file has the name too
    assert found["by_kind"] == {"name": found["seen"]}
    assert found["by_list"] == {"LUNA": found["seen"]}
    assert len(json.loads((tmp_path / "seen.json").read_text())) == found["seen"]
    if kind == "datalist":
        assert sorted(found["by_section"].values()) == [0, 1]


def test_no_overlap_is_fine(run, place, tmp_path):
    (tmp_path / "x.txt").write_text("a/b.png\nc.png\n")
    assert run("overlap", tmp_path / "x.txt", "--clone", place / "clone")["seen"] == 0


def test_the_table_goes_into_a_page_and_is_compared(run, tmp_path):
    page = tmp_path / "README.md"
    page.write_text("# Sets\n\n<!-- cards -->\n<!-- end of cards -->\n\nThe end.\n")
    run("table", "--check", page, status=1)
    run("table", "--write", page)
    run("table", "--check", page)
    text = page.read_text()
    assert text.startswith("# Sets\n\n<!-- cards -->\n\n### Pretraining: 2 data sets\n")
    assert text.endswith("<!-- end of cards -->\n\nThe end.\n")
    assert text.count("\n| [`") == 3
    assert (
        "| [`image_mask_pairs`](pretraining/image_mask_pairs.json) | [image mask pairs](https://example.org) |" in text
    )
    with pytest.raises(ValueError, match="no lines"):
        with_table("no marks", "table")


def test_the_picture_is_svg_and_counts_every_card(run, place, tmp_path):
    run("picture", "-o", tmp_path / "a.svg")
    cards = load_cards(place / "cards")
    assert counts_of(cards).total() == 3
    assert ElementTree.fromstring((tmp_path / "a.svg").read_text()).tag.endswith("svg")
    assert "CT, Chest: 2 pretraining" in draw(cards)


@pytest.mark.parametrize(
    ("words", "region"),
    [
        (["brain"], "Brain"),
        (["bone marrow"], "Blood, cells"),
        (["bone"], "Bone, muscle"),
        (["liver", "kidney"], "Abdomen"),
        (["heart", "chest"], "Heart, vessels"),
        (["various", "lung"], "Chest"),
        (["prostate"], "Pelvis"),
        (["thing"], "Other"),
        ([], "Other"),
    ],
)
def test_anatomy_has_a_row(words, region):
    assert region_of(words) == region


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "luna_metaimag"], "luna_metaimage"),
        (["check", "luna_metaimage", "absent"], "no folder absent"),
        (["check", "absent"], "give a card"),
        (["datalist", "luna_metaimage", "absent", "-o", "x.json"], "no folder absent"),
        (["extract", ".", "-o", "out"], "no folder that is named like a card"),
        (["overlap", "absent.txt", "--clone", "."], "absent.txt"),
        (["mix", "absent", "-o", "x"], "holds no manifest"),
        (["mix", "absent", "-o", "x", "--shares", "CT"], "written as"),
        (["mix", "absent", "-o", "x", "--shares", "CT=1,CT=2"], "named twice"),
        (["duplicates", "absent"], "holds no manifest"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_wrong_input_is_one_line_and_status_2(run, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    said = run(*arguments, status=2)
    assert re.fullmatch(rf"error: .*{message}.*\n", said)


def test_a_datalist_that_is_none_is_told(run, place, tmp_path):
    (tmp_path / "x.json").write_text('{"training": [{"picture": "a.png"}]}')
    assert "is no datalist" in run("overlap", tmp_path / "x.json", "--clone", place / "clone", status=2)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.__name__.rsplit(".", 1)[1])
def test_help_teaches(capsys, command):
    with pytest.raises(SystemExit) as stopped:
        main([command.__name__.rsplit(".", 1)[1], "--help"])
    assert stopped.value.code == 0
    said = capsys.readouterr().out
    assert "example" in said
    assert "--json" in said


def test_the_command_line_answers_without_loading_torch():
    code = "import sys; import lvm_med_monai.lists.__main__ as m; m._parser(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_cards_of_the_tests_read_as_cards_do():
    assert {"schema_version", "id", "layout", "split"} <= card_of("x").keys()
