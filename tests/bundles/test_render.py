"""Recipes become bundles: committed bundles are current, and mistakes in recipes are named."""

from __future__ import annotations

import json
import shutil

import pytest
from monai.bundle import ConfigParser

from lvm_med_monai.bundles import render
from lvm_med_monai.bundles.__main__ import main
from lvm_med_monai.bundles.json_text import WIDTH, json_text, read_json
from tests.bundles.conftest import ROOT

RECIPES = sorted((ROOT / "recipes").glob("*.json"))
README = "# $name\n\n$data\n\n$quirks\n\nrun $$BUNDLE\n"


@pytest.fixture
def repository(tmp_path):
    """A small repository: two fragments and one recipe."""
    (tmp_path / "LICENSE").write_text("do as you like\n")
    files = {
        "base/train.json": {"imports": ["a"], "seed": 0, "train": {"dataset": {"x": 1}}},
        "base/shared.json": {"size": 10},
        "base/inference.json": {"run": []},
        "base/metadata.json": {"version": "1", "packages": {"a": "1"}},
        "base/demo.json": {"size": 2},
        "second/train.json": {"+imports": ["b"], "train::dataset::x": 2},
        "second/demo.json": {"size": 3, "+imports": ["c"]},
    }
    for name, content in files.items():
        path = tmp_path / "recipes" / "fragments" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    (tmp_path / "recipes" / "fragments" / "base" / "logging.conf").write_text("[loggers]\n")
    (tmp_path / "recipes" / "fragments" / "second" / "README.md").write_text(README)
    return tmp_path


def write_recipe(repository, **changes):
    recipe = {
        "fragments": ["base", "second"],
        "shared.json": {"size": 20},
        "metadata.json": {"name": "Thing", "+packages": {"b": "2"}},
        "README.md": {"data": "words", "quirks": ["one", "two"]},
        **changes,
    }
    path = repository / "recipes" / "thing_segmentation.json"
    path.write_text(json.dumps(recipe))
    return path


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_committed_bundles_are_what_their_recipes_say(recipe):
    files = render(recipe, ROOT)
    folder = ROOT / "bundles" / recipe.stem
    stale = [
        name for name, text in files.items() if not (folder / name).is_file() or (folder / name).read_text() != text
    ]
    assert stale == [], "run python -m lvm_med_monai.bundles render"
    on_disk = {f"{part}/{path.name}" for part in ("configs", "docs") for path in (folder / part).iterdir()}
    assert on_disk <= files.keys()


def test_fragments_merge_as_monai_merges(repository):
    files = render(write_recipe(repository, **{"train.json": {"seed": 1}}), repository)
    train = json.loads(files["configs/train.json"])
    assert train == {"imports": ["a", "b"], "seed": 1, "size": 20, "train": {"dataset": {"x": 2}}}
    assert list(train)[:2] == ["imports", "seed"]
    assert json.loads(files["configs/inference.json"]) == {"size": 20, "run": []}
    assert json.loads(files["configs/metadata.json"])["packages"] == {"a": "1", "b": "2"}
    layers = [repository / "recipes" / "fragments" / name for name in ("base/train.json", "second/train.json")]
    theirs = ConfigParser.load_config_files([str(path) for path in layers])
    assert theirs["train"] == train["train"]
    assert theirs["imports"] == train["imports"]


def test_overlays_keep_their_marks_for_the_configuration_they_are_laid_on(repository):
    files = render(write_recipe(repository), repository)
    assert json.loads(files["configs/demo.json"]) == {"size": 3, "+imports": ["c"]}


def test_the_page_is_filled_and_other_files_are_copied(repository):
    files = render(write_recipe(repository, **{"data_license.txt": "CC0"}), repository)
    assert files["docs/README.md"] == "# Thing\n\nwords\n\n- one\n- two\n\nrun $BUNDLE\n"
    assert files["LICENSE"] == "do as you like\n"
    assert files["docs/data_license.txt"] == "CC0\n"
    assert files["configs/logging.conf"] == "[loggers]\n"


MISTAKES = {
    "repeats a value": ({"train.json": {"seed": 0}}, ValueError, r"repeats what its fragments say of \['seed'\]"),
    "leaf without parent": ({"train.json": {"valid::x": 1}}, ValueError, "cannot merge 'valid::x'"),
    "extends nothing": ({"train.json": {"+list": [1]}}, ValueError, r"cannot merge '\+list'"),
    "unknown fragment": ({"fragments": ["base", "third"]}, FileNotFoundError, "the fragment third"),
    "unknown section": ({"notes": {}}, ValueError, r"has the sections \['notes'\]"),
    "open placeholder": ({"README.md": {"data": "x"}}, ValueError, r"missing for \['quirks'\]"),
    "value for nothing": (
        {"README.md": {"data": "x", "quirks": [], "more": "y"}},
        ValueError,
        r"no placeholder takes \['more'\]",
    ),
    "no page": ({"fragments": ["base"]}, ValueError, "has README.md"),
}


@pytest.mark.parametrize(("changes", "error", "message"), MISTAKES.values(), ids=MISTAKES.keys())
def test_mistakes_in_recipes_are_named(repository, changes, error, message):
    with pytest.raises(error, match=message):
        render(write_recipe(repository, **changes), repository)


def test_the_command_writes_checks_and_removes(repository, capsys):
    write_recipe(repository)
    assert main(["render", "--check", "--root", str(repository)]) == 1
    assert not (repository / "bundles").exists()
    assert main(["render", "--root", str(repository)]) == 0
    assert main(["render", "--check", "--root", str(repository)]) == 0
    stray = repository / "bundles" / "thing_segmentation" / "configs" / "old.json"
    stray.write_text("{}")
    assert main(["render", "--check", "--root", str(repository)]) == 1
    assert "no recipe makes" in capsys.readouterr().out
    main(["render", "--root", str(repository)])
    assert not stray.exists()


def test_the_command_says_what_is_wrong(repository, capsys):
    write_recipe(repository, fragments=["third"])
    assert main(["render", "--root", str(repository)]) == 2
    assert "error: thing_segmentation.json names the fragment third" in capsys.readouterr().err


def test_no_recipes_is_an_error(tmp_path, capsys):
    assert main(["render", "--root", str(tmp_path)]) == 2
    assert "holds no recipes" in capsys.readouterr().err


def test_fragments_include_no_fragments():
    for path in sorted((ROOT / "recipes" / "fragments").rglob("*.json")):
        assert "fragments" not in read_json(path), path.name


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({}, "{}\n"),
        ({"a": [1, 2]}, '{\n    "a": [1, 2]\n}\n'),
        ({"a": {"b": "ü"}}, '{\n    "a": {"b": "ü"}\n}\n'),
        ({"a": [{"b": 1}, {"c": 2}]}, '{\n    "a": [\n        {"b": 1},\n        {"c": 2}\n    ]\n}\n'),
    ],
    ids=["empty", "short list", "not ascii", "objects one a line"],
)
def test_short_things_stand_on_one_line(value, text):
    assert json_text(value) == text


def test_long_lines_are_broken():
    text = json_text({"a": {str(i): "x" * 20 for i in range(20)}})
    assert max(len(line) for line in text.splitlines()) <= WIDTH
    assert json.loads(text) == {"a": {str(i): "x" * 20 for i in range(20)}}


def test_a_copy_of_the_repository_renders_the_same(tmp_path):
    """Nothing outside recipes and the licence goes into a bundle."""
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    shutil.copy(ROOT / "LICENSE", tmp_path)
    for recipe in RECIPES[:2]:
        assert render(tmp_path / "recipes" / recipe.name, tmp_path) == render(recipe, ROOT)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({}, "thing.json names no fragments: give a list of folders"),
        ({"fragments": "base"}, "thing.json names no fragments"),
        ([], "thing.json names no fragments"),
        ({"fragments": ["base"], "train.json": []}, "thing.json: train.json must be objects"),
    ],
    ids=["nothing", "text", "list", "section of another kind"],
)
def test_a_recipe_of_another_form_is_named(repository, recipe, message, capsys):
    (repository / "recipes" / "thing.json").write_text(json.dumps(recipe))
    assert main(["render", "thing", "--root", str(repository)]) == 2
    assert message in capsys.readouterr().err
    assert not (repository / "bundles").exists()


def test_a_file_that_comes_from_nowhere_is_named(repository):
    (repository / "recipes" / "fragments" / "base" / "metadata.json").unlink()
    recipe = write_recipe(repository)
    recipe.write_text(json.dumps({"fragments": ["base"]}))
    with pytest.raises(ValueError, match=r"neither thing_segmentation.json nor one of its fragments has metadata.json"):
        render(recipe, repository)
