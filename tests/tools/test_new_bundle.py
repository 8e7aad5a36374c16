"""A started recipe renders at once, and the contract finds what is still to be written."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

from lvm_med_monai.bundles import render, violations
from lvm_med_monai.bundles.contract import REMINDER

ROOT = Path(__file__).resolve().parents[2]
LIKE = "abdominal_organ_ct_segmentation"


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("new_bundle", ROOT / "tools" / "new_bundle.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def root(tmp_path):
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    shutil.copy(ROOT / "LICENSE", tmp_path)
    return tmp_path


def write(files, folder):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def test_only_reminders_are_missing(tool, root):
    recipe = tool.start("kidney_stone_ct_segmentation", LIKE, root)
    bundle = root / "bundles" / recipe.stem
    write(render(recipe, root), bundle)
    assert violations(bundle) == [f"metadata or docs/README.md still hold texts that start with {REMINDER}"]
    text = recipe.read_text().replace(REMINDER, "")
    recipe.write_text(text)
    write(render(recipe, root), bundle)
    assert violations(bundle) == []


def test_nothing_published_is_taken_over(tool, root):
    like = "colon_polyp_endoscopy_segmentation"
    started = json.loads(tool.start("wound_photograph_segmentation", like, root).read_text())
    model = json.loads((root / "recipes" / f"{like}.json").read_text())
    assert "paper.json" in model
    assert "paper.json" not in started
    assert started["fragments"] == model["fragments"]
    assert all("Kvasir" not in str(started[part]) for part in ("README.md", "metadata.json"))


CASES = {
    "taken": (LIKE, LIKE, FileExistsError, "choose another name"),
    "unknown model": ("a_segmentation", "b_segmentation", FileNotFoundError, "b_segmentation has no recipe"),
    "another task": ("a_detection", LIKE, ValueError, "must end with _segmentation"),
    "no task": ("grading", LIKE, ValueError, "must end with _segmentation"),
}


@pytest.mark.parametrize(("name", "like", "error", "message"), CASES.values(), ids=CASES.keys())
def test_bad_names_are_refused(tool, root, name, like, error, message):
    before = sorted(root.rglob("*"))
    with pytest.raises(error, match=message):
        tool.start(name, like, root)
    assert sorted(root.rglob("*")) == before
